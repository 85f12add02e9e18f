// @ts-check
// Reads a file of targets as Prometheus's file_sd has them: every `job` becomes a service, every target an endpoint.
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { isIP } from "node:net";
import { resolve } from "node:path";
import { setTimeout as delay } from "node:timers/promises";

/** @import { AdapterModule, Endpoint, LeftOut, ServiceRead } from "x2istio" */
/** @typedef {{ registry: string, namespace: string, protocol: string, file: string }} Place */
/** @typedef {{ job: string, region?: string, zone?: string, targets: unknown }} Group */

const LOOK_MS = 500;

/** @type {AdapterModule} */
export const adapter = {
  create(given, { registry, dir }) {
    // An error thrown here refuses the configuration with its message.
    const { file, namespace = "default", protocol = "HTTP" } = Object(given);
    if (typeof file !== "string") throw new Error("file must name the file of targets");
    const path = resolve(dir, file);
    const revisionOf = (/** @type {string} */ text) => createHash("sha256").update(text).digest("base64");

    return {
      registry,

      // Everything, never a delta. Whatever throws here (no file, no JSON) holds all that this registry has made.
      async read(signal) {
        const text = await readFile(path, { encoding: "utf8", signal });
        const groups = groupsOf(JSON.parse(text));
        const jobs = Map.groupBy(groups.named, ({ job }) => job);
        const services = [...jobs].map(([job, parts]) => readOf(job, parts, { registry, namespace, protocol, file }));
        // What cannot be named may be any of the services that are missing: they must not count as gone.
        const incomplete = groups.nameless > 0 ? { incomplete: `${groups.nameless} groups have no job` } : {};
        return { registry, services, revision: revisionOf(text), ...incomplete };
      },

      // A hint: without it a change is seen at the next poll.
      async waitForChange(revision, signal) {
        for (;;) {
          const text = await readFile(path, { encoding: "utf8", signal });
          if (revisionOf(text) !== revision) return;
          await delay(LOOK_MS, undefined, { signal });
        }
      },
    };
  },
};

/** @param {unknown} json */
function groupsOf(json) {
  if (!Array.isArray(json)) throw new Error("a file of targets must be a list of groups");
  const groups = json.map((group) => ({ ...Object(group?.labels), targets: group?.targets }));
  const named = groups.filter(({ job }) => typeof job === "string" && job !== "");
  return { named, nameless: groups.length - named.length };
}

/** @type {(job: string, groups: readonly Group[], place: Place) => ServiceRead} */
function readOf(job, groups, { registry, namespace, protocol, file }) {
  const key = `${registry}/${namespace}/${job}`;
  /** @type {(Endpoint & { port: number })[]} */
  const found = [];
  /** @type {LeftOut[]} */
  const leftOut = [];
  for (const { targets, region, zone } of groups) {
    const locality = { ...(region === undefined ? {} : { region }), ...(zone === undefined ? {} : { zone }) };
    // One service that cannot be read is a failed read: it stays as it is, and the others go on.
    if (!Array.isArray(targets)) return { state: "failed", key, cause: new Error(`job ${job}: targets must be a list`) };
    for (const target of targets.map(String)) {
      const [, host = "", digits = ""] = /^\[?(.*?)\]?:(\d+)$/.exec(target) ?? [];
      if (isIP(host) === 0) leftOut.push({ address: target, kind: "address", reason: "no IP address and port" });
      else found.push({ address: host, port: Number(digits), ...locality });
    }
  }
  // Nobody configured the service's own port: `observed` lets the number stay that callers use already.
  const number = Math.min(...found.map(({ port }) => port));
  const name = protocol.toLowerCase();
  return {
    state: "ok",
    service: {
      registry,
      namespace,
      name: job,
      ports: found.length === 0 ? [] : [{ name, number, protocol, observed: true }],
      endpoints: found.map(({ port, ...endpoint }) => (port === number ? endpoint : { ...endpoint, ports: { [name]: port } })),
      leftOut,
      metadata: {},
      legacyNames: [],
      source: `${file}, job ${job}`,
      notes: [],
    },
  };
}
