// Connects the parts of the page.
import { updates } from "./api.js";
import { el, id } from "./dom.js";
import * as details from "./details.js";
import * as health from "./health.js";
import * as list from "./list.js";
import * as model from "./model.js";
import * as state from "./state.js";
import * as timeline from "./timeline.js";

const fields = { text: id("text"), severity: id("severity"), function: id("function"), status: id("invocation-status") };

// select shows the details of an invocation or an environment.
function select({ inv, env }, focus = true) {
  if (inv) {
    const of = model.environments.get(inv.environment);
    state.set({ request: inv.requestId, env: of && model.isShared(inv.requestId) ? of.id : "" });
  } else state.set({ request: "", env: env.id });
  if (focus) details.focus();
}

let typing = 0; // the timer of what is typed and not yet in the state

function startFilters() {
  const change = (name, push) => () => {
    clearTimeout(typing);
    typing = 0;
    state.set({ [name]: fields[name].value.trim() }, push);
  };
  fields.text.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(change("text", false), 250);
  });
  fields.text.addEventListener("change", change("text", true));
  for (const name of ["severity", "function", "status"]) fields[name].addEventListener("change", change(name, true));
  id("filters").addEventListener("submit", (e) => {
    e.preventDefault();
    change("text", true)();
  });
  id("clear").addEventListener("click", () => state.set({ text: "", severity: "", function: "", status: "" }));
}

// showFilters shows the state in the fields.
function showFilters() {
  const s = state.get();
  const wanted = ["", ...new Set([...model.functions, ...(s.function ? [s.function] : [])])];
  const options = fields.function;
  if (wanted.join("\n") !== [...options.options].map((o) => o.value).join("\n")) {
    options.replaceChildren(...wanted.map((name) => el("option", { value: name }, name || "any")));
  }
  for (const [name, field] of Object.entries(fields)) {
    if (field.value.trim() !== s[name] && !(name === "text" && typing)) field.value = s[name];
  }
  id("clear").disabled = !(s.text || s.severity || s.function || s.status);
}

function startKeys() {
  addEventListener("keydown", (e) => {
    if (e.key !== "/" || e.ctrlKey || e.metaKey || e.altKey || e.target.matches("input, select, textarea")) return;
    e.preventDefault();
    fields.text.focus();
  });
  id("skip").addEventListener("click", (e) => {
    e.preventDefault();
    list.focus();
  });
}

timeline.start(select);
list.start(select);
details.start(list.focus);
health.start();
startFilters();
startKeys();
let filters = "";
state.onChange((s) => {
  const now = JSON.stringify([s.text, s.severity, s.function, s.status]);
  showFilters();
  if (now !== filters) model.refresh();
  filters = now;
  timeline.draw();
});
model.onChange(showFilters);
showFilters();

updates({
  changes: model.apply,
  health: (h) => {
    health.update(h);
    list.setUnreadable(h.audit.unreadableExamples?.[0]);
    timeline.setLive(h.live && h.state === "reading");
  },
  state: health.connection,
}).catch(() => health.connection(false));
