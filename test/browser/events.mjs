// Makes lines of kinetel/1 as the extension writes them, the same ones each time.

export const begin = Date.UTC(2026, 10, 27, 9, 30, 0);

// Environment makes the events of an execution environment.
export class Environment {
  #seq = 0;
  #resource;
  lines = [];

  constructor(name, id, { init = 380, at = 0 } = {}) {
    this.name = name;
    this.id = id;
    this.#resource = { "cloud.provider": "aws", "faas.name": name, "faas.version": "$LATEST", "service.name": name, "service.instance.id": id };
    this.first = true;
    this.init = init;
    this.add(at, "platform.initStart", { initializationType: "on-demand", phase: "init", functionName: name });
    this.add(at + init, "platform.initRuntimeDone", { initializationType: "on-demand", phase: "init", status: "success" });
    this.add(at + init, "platform.initReport", { initializationType: "on-demand", phase: "init", status: "success", metrics: { durationMs: init } });
  }

  // add adds an event, at so many milliseconds after the beginning, and returns its line.
  add(ms, type, body, more = {}) {
    this.#seq++;
    const time = new Date(begin + Math.round(ms)).toISOString();
    const { severity, requestId, traceId, bodyBase64 } = more;
    const line = JSON.stringify({ schema: "kinetel/1", seq: this.#seq, time, type, severity, requestId, traceId, body, bodyBase64, resource: this.#resource });
    this.lines.push(line);
    return line;
  }

  // skip leaves numbers out: a hole.
  skip(n) {
    this.#seq += n;
  }

  // invoke adds an invocation; lines are [severity, body].
  invoke(ms, requestId, { lines = [["INFO", "hello\n"]], took = 40, status = "success", held = 20, errorType, end = true } = {}) {
    const more = { requestId, traceId: `1-68d0aaaa-${requestId.replaceAll("-", "").slice(0, 24)}` };
    const cold = this.first;
    this.first = false;
    this.add(ms, "platform.start", { requestId, version: "$LATEST", tracing: { spanId: "54565fb41ac79632" } }, more);
    lines.forEach(([severity, body, other], i) => this.add(ms + (took * (i + 1)) / (lines.length + 1), "function", body, { ...more, severity, ...other }));
    if (!end) return;
    const spans = [{ name: "responseLatency", start: new Date(begin + ms).toISOString(), durationMs: took * 0.9 }, { name: "runtimeOverhead", start: new Date(begin + Math.round(ms + took * 0.9)).toISOString(), durationMs: took * 0.1 }];
    this.add(ms + took, "platform.runtimeDone", { requestId, status, errorType, metrics: { durationMs: took, producedBytes: 42 }, spans }, more);
    const overhead = held + 3;
    const metrics = { durationMs: took + overhead, billedDurationMs: Math.ceil(took + overhead), memorySizeMB: 256, maxMemoryUsedMB: 88, ...(cold ? { initDurationMs: this.init } : {}) };
    this.add(ms + took + overhead, "platform.report", { requestId, status, errorType, metrics }, more);
    this.add(ms + took + overhead, "kinetel.invocation", { requestId, status, errorType, metrics, coldStart: cold, extensionOverheadMs: overhead, heldMs: held, hold: held ? "rare" : "busy", events: lines.length + 3 }, more);
  }

  loss(ms, count, reason) {
    const firstSeq = this.#seq + 1;
    this.skip(count);
    this.add(ms, "kinetel.loss", { firstSeq, lastSeq: firstSeq + count - 1, count, bytes: count * 200, reason });
  }

  report(ms, { final = false, retried = 0, requests = 4 } = {}) {
    const quantiles = { p50: 9.4, p99: 21, max: 21 };
    this.add(ms, "kinetel.report", {
      final, uptimeMs: ms, received: { events: 1, bytes: 1 }, own: 1, parts: 0, recovered: 0, shipped: { events: 1, records: 1, bytes: 1 }, lost: {}, waiting: 0, spooled: { events: 0, records: 0, bytes: 0 },
      requests, retried, unknown: 0, putLatencyMs: quantiles, held: { invocations: 1, held: 1, ms: quantiles }, leftOut: { ownLog: 0 }, logsDropped: { times: 0, records: 0, bytes: 0 },
    });
  }
}

// random returns numbers from 0 to 1, the same ones each time (mulberry32).
export function random(seed) {
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export function uuid(next) {
  const hex = Array.from({ length: 32 }, () => Math.floor(next() * 16).toString(16)).join("");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20)}`;
}

// fleet returns the lines of functions with so many invocations together.
export function fleet({ functions = ["orders", "payments", "thumbnails"], environments = 8, invocations = 240, linesEach = 4, seed = 7, span = 120_000 } = {}) {
  const next = random(seed);
  const all = Array.from({ length: environments }, (_, i) => {
    const at = i < functions.length ? i * 400 : next() * span * 0.6;
    const env = new Environment(functions[i % functions.length], uuid(next).replaceAll("-", ""), { init: 180 + next() * 500, at });
    return { env, free: at + env.init + 5, busy: i % functions.length === 0 };
  });
  const gap = (span / invocations) * environments;
  for (let i = 0; i < invocations; i++) {
    const of = all[i % environments];
    const took = Math.round(20 + next() * next() * gap * 0.6);
    const chance = next();
    const lines = Array.from({ length: linesEach }, (_, n) => (n % 2 ? ["INFO", { timestamp: "2026-11-27T09:30:00.000Z", level: "INFO", message: ["order accepted", "cart loaded", "payment sent"][n % 3], order: 1000 + i, total: Math.round(next() * 9000) / 100 }] : ["INFO", `request ${i} step ${n}\n`]));
    let result = {};
    if (chance > 0.985) {
      result = { status: "timeout" };
      lines.push(["ERROR", "Task timed out after 3.00 seconds\n"]);
    } else if (chance > 0.95) {
      result = { status: "error", errorType: "PaymentRefused" };
      lines.push(["ERROR", { message: "payment refused", order: 1000 + i, code: "insufficient_funds", retry: false, card: { brand: "visa", last4: "4242" } }]);
    } else if (chance > 0.88) lines.push(["WARN", "the cache answers slowly\n"]);
    of.env.invoke(of.free, uuid(next), { lines, took, held: of.busy ? 0 : Math.round(14 + next() * 40), ...result });
    of.free += took + 60 + next() * gap * 0.5;
  }
  return all.flatMap(({ env }) => env.lines);
}
