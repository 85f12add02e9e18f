import type { Adapter, ServiceRead, Snapshot } from "../../src/model/adapter.ts";
import { type Service, type ServiceKey, serviceKey } from "../../src/model/service.ts";
import { endpoint, port, service } from "../plan/build.ts";
import type { Clock, Process } from "./clock.ts";
import type { Effect, Mode } from "./effects.ts";

export const NAMES = ["a", "b", "c", "d", "e", "f", "g", "h"] as const;
export const NAMESPACE = "shop";

/** What a registry said last to one process; `failed` when it could not be read. */
export type Said =
  | { readonly state: "failed" }
  | { readonly state: "complete" | "incomplete"; readonly services: ReadonlyMap<string, Service | "failed"> };

/** A registry of the simulated world. */
export interface Registry {
  readonly name: string;
  /** Set where it compares names without case: services by the letters in which it writes them at the moment. */
  readonly spelt: Map<string, string> | undefined;
  /** What is there, whatever it answers. */
  readonly services: ReadonlyMap<string, Service>;
  mode: Mode;
  /** Chooses what a mode leaves out. */
  part: number;
  /** Whether hints come through. */
  hints: boolean;
  set(name: string, service: Service | undefined): void;
  /** An adapter for one process. */
  adapter(process: Process, onAnswer: (said: Said, askedMs: number) => void): Adapter;
}

const SLOW_MS = 8000;

export function createRegistry(
  name: string,
  clock: Clock,
  random: () => number,
  { isCaseless, took }: { readonly isCaseless: boolean; readonly took: (effect: Effect) => void },
): Registry {
  const services = new Map<string, Service>();
  const waiting = new Set<() => void>();
  let revision = 1;
  const registry: Registry = {
    name,
    spelt: isCaseless ? new Map() : undefined,
    services,
    mode: "well",
    part: 0,
    hints: true,
    set(one, wanted) {
      if (wanted === undefined) services.delete(one);
      else services.set(one, wanted);
      revision++;
      if (registry.hints) for (const wake of [...waiting]) wake();
      else if (waiting.size > 0) took("a hint is lost");
    },
    adapter: (process, onAnswer) => ({
      registry: name,
      read: (signal, { standing }) =>
        new Promise((resolve, reject) => {
          const askedMs = clock.nowMs();
          const abort = () => reject(signal.reason);
          if (signal.aborted) return abort();
          signal.addEventListener("abort", abort, { once: true });
          const takesMs = registry.mode === "slow" ? SLOW_MS * (0.5 + random()) : 1 + random() * 20;
          clock.after(takesMs / 2, undefined, () => {
            const answer = answerOf(registry, revision, standing?.() ?? []);
            if (registry.mode !== "well") took(`a registry answers: ${registry.mode}`);
            clock.after(takesMs / 2, process, () => {
              signal.removeEventListener("abort", abort);
              if (signal.aborted) return;
              onAnswer(saidOf(answer), askedMs);
              if (answer instanceof Error) reject(answer);
              else resolve(answer);
            });
          });
        }),
      waitForChange: (seen, signal) =>
        new Promise((resolve, reject) => {
          const wake = () => {
            waiting.delete(wake);
            clock.after(1 + random() * 50, process, resolve);
          };
          const abort = () => {
            waiting.delete(wake);
            reject(signal.reason);
          };
          if (signal.aborted) return abort();
          signal.addEventListener("abort", abort, { once: true });
          if (registry.hints && seen !== `${revision}`) wake();
          else waiting.add(wake);
        }),
    }),
  };
  return registry;
}

/** An answer as an adapter gives it: a service that is as it was is the same object. */
function answerOf(
  { name, services, spelt, mode, part }: Registry,
  revision: number,
  standing: readonly ServiceKey[],
): Snapshot | Error {
  if (mode === "refused") return new Error("Cannot read services: connect ECONNREFUSED 192.0.2.1:8500");
  const all = [...services].sort(([a], [b]) => (a < b ? -1 : 1));
  // Which ones: the same as long as the mode lasts.
  const isPicked = (at: number, share: number) => ((at + part) * 7) % 10 < share * 10;
  const reads = all.flatMap<ServiceRead>(([one, said], at) => {
    const written = spelt?.get(one) ?? one;
    const read: ServiceRead = { state: "ok", service: called(said, written) };
    if (mode === "empties") return [];
    if (mode === "halves") return isPicked(at, 0.6) ? [] : [read];
    if (mode === "partial") return isPicked(at, 0.2) ? [] : [read]; // so few that no brake would hold
    const failed = (cause: string): readonly ServiceRead[] => [
      { state: "failed", key: serviceKey(name, NAMESPACE, written), cause: new Error(cause) },
    ];
    if (mode === "some-failed" && isPicked(at, 0.4)) return failed("500 No cluster leader");
    // One that may no longer be seen is not listed; asked for by the name that stands it is refused.
    if (mode === "denied" && isPicked(at, 0.4))
      return standing.some((key) => key.toLowerCase() === serviceKey(name, NAMESPACE, one)) ? failed("403") : [];
    if (mode === "drained" && isPicked(at, 0.8)) return [{ state: "ok", service: drained(read.service) }];
    return [read];
  });
  return {
    registry: name,
    services: reads,
    revision: `${revision}`,
    ...(spelt === undefined ? {} : { caseless: true as const }),
    ...(mode === "partial" ? { incomplete: "page 2 answered 503" } : {}),
  };
}

const CALLED = new WeakMap<Service, Service>();

/** The same service in the letters of the moment. */
function called(service: Service, name: string): Service {
  if (service.name === name) return service;
  const known = CALLED.get(service) ?? { ...service, name };
  CALLED.set(service, known);
  return known;
}

const DRAINED = new WeakMap<Service, Service>();

function drained(service: Service): Service {
  const known = DRAINED.get(service) ?? { ...service, endpoints: service.endpoints.slice(0, 0) };
  DRAINED.set(service, known);
  return known;
}

function saidOf(answer: Snapshot | Error): Said {
  if (answer instanceof Error) return { state: "failed" };
  const services = answer.services.map<readonly [string, Service | "failed"]>((read) =>
    read.state === "ok"
      ? [read.service.name.toLowerCase(), read.service]
      : [(read.key.split("/")[2] ?? "").toLowerCase(), "failed"],
  );
  return { state: answer.incomplete === undefined ? "complete" : "incomplete", services: new Map(services) };
}

/** A service with `count` endpoints; `form` chooses its port and legacy names. */
export function serviceOf(registry: string, name: string, count: number, form: number): Service {
  const net = registry === "dc1" ? 100 : 113;
  return service(name, {
    registry,
    namespace: NAMESPACE,
    ports: [form % 3 === 0 ? port("db", 5432, "TCP") : port("web", 8080 + (form % 2), "HTTP")],
    endpoints: Array.from({ length: count }, (_, at) => endpoint(`198.51.${net}.${1 + ((form * 5 + at) % 200)}`)),
    legacyNames: form % 4 === 1 ? [`${name}.${registry}.example.org`] : [],
  });
}
