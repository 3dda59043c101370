"use strict";
// Language and light or dark: the page holds both languages, the stylesheet shows the one of <html lang>.
const words = JSON.parse(document.getElementById("words").textContent);

function say(key) {
  return words[key][document.documentElement.lang];
}

function setLanguage(language) {
  document.documentElement.lang = language;
  document.title = say("title");
  for (const button of document.querySelectorAll("[data-language]"))
    button.setAttribute("aria-pressed", String(button.dataset.language === language));
  for (const element of document.querySelectorAll("[data-label]"))
    element.setAttribute("aria-label", say(element.dataset.label));
}

for (const button of document.querySelectorAll("[data-language]"))
  button.addEventListener("click", () => setLanguage(button.dataset.language));
document.getElementById("theme").addEventListener("click", () => {
  const style = document.documentElement.style;
  const dark = style.colorScheme ? style.colorScheme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  style.colorScheme = dark ? "light" : "dark";
});
function languageAsked() {
  const asked = location.hash.slice(1);
  return asked in words.title ? asked : document.documentElement.lang;
}

// report.html#zh opens in that language
addEventListener("hashchange", () => setLanguage(languageAsked()));
setLanguage(languageAsked());
