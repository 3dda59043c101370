"""The PACS: find, get, send and receive, over DICOMweb and over DIMSE, behind one interface. Extra `pacs`."""
