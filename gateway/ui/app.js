"use strict";
// Asks the REST API every two seconds and shows what it says; the chosen function is in the URL.

const rates = new Map();

function cell(text, className) {
  const td = document.createElement("td");
  td.textContent = text;
  if (className) td.className = className;
  return td;
}

function scaling(labels) {
  const label = (name, otherwise) => labels["com.openfaas.scale." + name] || otherwise;
  if (!labels["com.openfaas.scale.type"] && !labels["com.openfaas.scale.target"]) return "more than 5 calls/s";
  return `${label("type", "rps")} ${label("target", "50")} × ${label("target-proportion", "0.9")}`;
}

function perSecond(name, count) {
  const now = performance.now();
  const before = rates.get(name);
  rates.set(name, { count, now });
  if (!before || now === before.now) return "";
  return (Math.max(0, count - before.count) * 1000 / (now - before.now)).toFixed(1);
}

function row(f) {
  const tr = document.createElement("tr");
  const name = document.createElement("td");
  const button = document.createElement("button");
  button.textContent = f.name;
  button.addEventListener("click", () => { location.hash = f.name; refresh(); });
  name.append(button);
  const labels = f.labels || {};
  const wanted = f.replicas || 0, ready = f.availableReplicas || 0, calls = f.invocationCount || 0;
  const zero = ["true", "1"].includes(labels["com.openfaas.scale.zero"]);
  const low = zero ? "0" : labels["com.openfaas.scale.min"] || "1";
  tr.append(name, cell(ready, ready < wanted ? "number short" : "number"), cell(wanted, "number"),
    cell(`${low}–${labels["com.openfaas.scale.max"] || "20"}`, "number"), cell(scaling(labels)),
    cell(calls, "number"), cell(perSecond(f.name, calls), "number"));
  return tr;
}

async function ask(path) {
  const response = await fetch(path, { headers: { accept: "application/json" } });
  if (!response.ok) throw new Error(`${path}: ${response.status}`);
  return response.json();
}

function ago(seconds) {
  return seconds < 120 ? `${Math.round(seconds)} s` : `${Math.round(seconds / 60)} min`;
}

async function detail(name) {
  const section = document.getElementById("detail");
  section.hidden = !name;
  if (!name) return;
  const why = await ask("/system/scaling/" + encodeURIComponent(name));
  document.getElementById("detail-name").textContent = why.function;
  document.getElementById("detail-decision").textContent = `${why.decision}. Idle: ${why.idle}.`;
  const lines = [why.rule, ...why.formula, ...why.bounds].map((text) => {
    const li = document.createElement("li");
    li.textContent = text;
    return li;
  });
  document.getElementById("detail-formula").replaceChildren(...lines);
  const rows = why.decisions.slice().reverse().map((d) => {
    const tr = document.createElement("tr");
    tr.append(cell(ago(d.seconds_ago)), cell(d.from, "number"), cell(d.to, "number"), cell(d.by), cell(d.why));
    return tr;
  });
  document.getElementById("decisions").replaceChildren(...rows);
}

// The rows are made anew; who has come to one with the keyboard stays on it.
function show(functions) {
  const body = document.getElementById("functions");
  const focused = body.contains(document.activeElement) ? document.activeElement.textContent : null;
  body.replaceChildren(...functions.map(row));
  const buttons = Array.from(body.querySelectorAll("button"));
  buttons.find((button) => button.textContent === focused)?.focus();
}

async function refresh() {
  const summary = document.getElementById("summary");
  try {
    const functions = await ask("/system/functions");
    functions.sort((a, b) => a.name.localeCompare(b.name));
    show(functions);
    const ready = functions.reduce((sum, f) => sum + (f.availableReplicas || 0), 0);
    summary.textContent = `${functions.length} functions, ${ready} replicas ready`;
    await detail(decodeURIComponent(location.hash.slice(1)));
  } catch (error) {
    summary.textContent = `Cannot ask the gateway: ${error.message}`;
  }
}

refresh();
setInterval(() => { if (!document.hidden) refresh(); }, 2000);
window.addEventListener("hashchange", refresh);
