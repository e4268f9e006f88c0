// Makes elements. Text becomes text nodes: nothing of the stream is ever read as HTML.

// el makes an element with attributes and children. An attribute that is a function listens
// to the event of its name; one that is false or undefined is left out.
export function el(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (typeof value === "function") made.addEventListener(key, value);
    else if (key === "class") made.className = value;
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.filter((child) => child !== undefined && child !== null && child !== false));
  return made;
}

export const id = (name) => document.getElementById(name);

// setText changes the text only if it is another one, so that screen readers stay silent.
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
