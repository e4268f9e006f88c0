// Sets the theme before the page is drawn. It is no module, because modules run later.
"use strict";
(() => {
  const themes = ["system", "light", "dark"];
  const root = document.documentElement;
  const read = () => {
    try {
      return localStorage.getItem("kinetel-theme");
    } catch {
      return null; // storage is off
    }
  };
  const set = (theme) => {
    root.dataset.theme = themes.includes(theme) ? theme : "system";
    document.dispatchEvent(new Event("themechange"));
  };
  set(read());
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => document.dispatchEvent(new Event("themechange")));
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const label = () => {
      const { theme } = root.dataset;
      button.textContent = { system: "◐", light: "☀", dark: "☾" }[theme];
      button.title = `Theme: ${theme}`;
      button.setAttribute("aria-label", button.title);
    };
    label();
    button.addEventListener("click", () => {
      const next = themes[(themes.indexOf(root.dataset.theme) + 1) % themes.length];
      set(next);
      label();
      try {
        localStorage.setItem("kinetel-theme", next);
      } catch {
        // it lasts until the page is closed
      }
    });
  });
})();
