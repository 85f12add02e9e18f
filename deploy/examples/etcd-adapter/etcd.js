// @ts-check
// Reads what programs register in etcd: a key for each instance, `<prefix><service>/<id>`, that goes with its lease. The value is
// `address:port`, as go-zero writes it, or JSON with `Addr`, as gRPC's naming for etcd does.
import { createHash } from "node:crypto";
import { isIP } from "node:net";

/** @import { AdapterModule, Endpoint, LeftOut, ServiceRead } from "x2istio" */
/** @typedef {{ registry: string, namespace: string, protocol: string, source: string }} Place */

/** @type {AdapterModule} */
export const adapter = {
  create(given, { registry, readJson }) {
    // An error thrown here refuses the configuration with its message.
    const { address, prefix = "", namespace = "default", protocol = "GRPC" } = Object(given);
    if (typeof address !== "string" || !URL.canParse(address)) throw new Error("address must be the URL of an etcd");
    const range = rangeOf(String(prefix));
    /** What was read last: etcd's own revision counts every write, that of a snapshot only what it says. */
    let last = { revision: "", etcd: 0 };

    /** @type {(path: string, body: object, signal: AbortSignal) => Promise<Response>} */
    async function post(path, body, signal) {
      const answer = await fetch(new URL(path, address), { method: "POST", body: JSON.stringify(body), signal });
      if (!answer.ok) throw new Error(`POST ${path} answered ${answer.status}`);
      return answer;
    }

    return {
      registry,

      // Everything, in one consistent view. Whatever throws here holds all that this registry has made.
      async read(signal) {
        const { header, kvs = [] } = /** @type {any} */ (await readJson(await post("/v3/kv/range", range, signal), signal));
        if (!(Number(header?.revision) > 0) || !Array.isArray(kvs)) throw new Error("this is no answer of etcd");
        const instances = kvs.map(({ key, value }) => {
          const name = textOf(key).slice(String(prefix).length);
          return { service: name.slice(0, Math.max(0, name.lastIndexOf("/"))), target: targetOf(textOf(value)) };
        });
        const all = Map.groupBy(instances.filter(({ service }) => service !== ""), ({ service }) => service); // else no instance
        const place = { registry, namespace, protocol, source: address };
        const services = [...all].map(([name, of]) => readOf(name, of.map(({ target }) => target), place));
        const revision = createHash("sha256").update(JSON.stringify(services)).digest("base64");
        last = { revision, etcd: Number(header.revision) };
        return { registry, services, revision };
      },

      // A hint: it ends with the first event after the revision that was read, or when etcd has forgotten that one.
      async waitForChange(revision, signal) {
        if (revision !== last.revision) return;
        const wanted = { create_request: { ...range, start_revision: String(last.etcd + 1) } };
        const { body } = await post("/v3/watch", wanted, signal);
        let tail = "";
        for await (const part of body?.pipeThrough(new TextDecoderStream()) ?? []) {
          tail = (tail + part).slice(-65_536);
          if (/"(events|canceled)"/.test(tail)) return;
        }
        throw new Error("etcd ended the watch");
      },
    };
  },
};

/** All keys that begin with `prefix`, as etcd takes them. @param {string} prefix */
function rangeOf(prefix) {
  const end = Buffer.from(prefix === "" ? "\0" : prefix);
  const key = end.toString("base64");
  if (prefix !== "") end.writeUInt8(end.readUInt8(end.length - 1) + 1, end.length - 1);
  return { key, range_end: end.toString("base64") };
}

const textOf = (/** @type {unknown} */ value) => Buffer.from(String(value ?? ""), "base64").toString();

/** @param {string} value */
function targetOf(value) {
  if (!value.startsWith("{")) return value;
  try {
    return String(JSON.parse(value).Addr);
  } catch {
    return value; // shown as left out
  }
}

/** @type {(name: string, targets: readonly string[], place: Place) => ServiceRead} */
function readOf(name, targets, { registry, namespace, protocol, source }) {
  /** @type {Map<string, Endpoint & { port: number }>} */
  const found = new Map();
  /** @type {LeftOut[]} */
  const leftOut = [];
  for (const target of targets) {
    const [, host = "", digits = ""] = /^\[?(.*?)\]?:(\d+)$/.exec(target) ?? [];
    if (isIP(host) === 0) leftOut.push({ address: target.slice(0, 100), kind: "address", reason: "no IP address and port" });
    else found.set(target, { address: host, port: Number(digits) });
  }
  // Nobody configured the service's own port: `observed` lets the number stay that callers use already.
  const number = Math.min(...[...found.values()].map(({ port }) => port));
  const port = protocol.toLowerCase();
  const endpoints = [...found.values()].map(({ port: own, ...one }) => (own === number ? one : { ...one, ports: { [port]: own } }));
  const ports = found.size === 0 ? [] : [{ name: port, number, protocol, observed: /** @type {const} */ (true) }];
  const parts = { registry, namespace, name, ports, endpoints, leftOut };
  return { state: "ok", service: { ...parts, metadata: {}, legacyNames: [], source: `${source}, ${name}`, notes: [] } };
}
