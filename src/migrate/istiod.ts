import { setTimeout as delay } from "node:timers/promises";
import type { ObjectKey } from "../model/objects.ts";

/** What istiod says of objects. */
export type IstiodState =
  | { readonly state: "current"; readonly message: string }
  | { readonly state: "behind"; readonly message: string }
  | { readonly state: "unreachable"; readonly message: string };

/** An object as istiod tells of its configuration at `/debug/configz`. */
interface KnownConfig {
  readonly kind?: string;
  readonly metadata?: { readonly namespace?: string; readonly name?: string; readonly resourceVersion?: string };
}

/** A proxy as istiod tells of it at `/debug/syncz`. */
interface KnownProxy {
  readonly route_sent?: string;
  readonly route_acked?: string;
  readonly listener_sent?: string;
  readonly listener_acked?: string;
  readonly cluster_sent?: string;
  readonly cluster_acked?: string;
}

/** Objects of which istiod has another version, or none. Kinds of Kubernetes' own are not among what it tells. */
export function outdatedAt(
  configs: readonly KnownConfig[],
  versions: ReadonlyMap<ObjectKey, string>,
): readonly ObjectKey[] {
  const known = new Map(
    configs.map(({ kind, metadata }) => [
      `${kind}/${metadata?.namespace}/${metadata?.name}`,
      metadata?.resourceVersion,
    ]),
  );
  return [...versions].flatMap(([key, version]) =>
    /^(ServiceEntry|VirtualService)\//.test(key) && known.get(key) !== version ? [key] : [],
  );
}

/** Proxies that have taken over the last that istiod sent them. */
export function acknowledged(proxies: readonly KnownProxy[]): number {
  const same = (sent = "", acked = "") => sent === acked;
  return proxies.filter(
    (proxy) =>
      same(proxy.route_sent, proxy.route_acked) &&
      same(proxy.listener_sent, proxy.listener_acked) &&
      same(proxy.cluster_sent, proxy.cluster_acked),
  ).length;
}

/** How long istiod is given to have what stands: it waits 0.1 s for further changes, 10 s under a storm of them. */
const CATCH_UP_MS = 12_000;
const PAUSE_MS = 100;

/** Ask istiod, at the address of its debug interface, until it has these versions of the objects. */
export async function askIstiod(
  address: string,
  versions: ReadonlyMap<ObjectKey, string>,
  signal: AbortSignal,
): Promise<IstiodState> {
  const base = address.replace(/\/+$/, "");
  const read = async <Body>(path: string): Promise<Body> => {
    const answer = await fetch(`${base}/debug/${path}`, {
      signal: AbortSignal.any([signal, AbortSignal.timeout(5000)]),
    });
    if (answer.status !== 200) throw new Error(`/debug/${path} answered ${answer.status}`);
    return (await answer.json()) as Body;
  };
  const endMs = performance.now() + CATCH_UP_MS;
  try {
    for (;;) {
      const behind = outdatedAt((await read<readonly KnownConfig[] | null>("configz")) ?? [], versions);
      const proxies = (await read<readonly KnownProxy[] | null>("syncz")) ?? [];
      const done = acknowledged(proxies);
      const message = `istiod has ${behind.length === 0 ? "it" : `older versions of ${behind.join(", ")}`}; ${done} of ${proxies.length} proxies have acknowledged what it sent`;
      if (behind.length === 0 && done === proxies.length) return { state: "current", message };
      if (performance.now() > endMs) return { state: "behind", message };
      await delay(PAUSE_MS, undefined, { signal });
    }
  } catch (error) {
    signal.throwIfAborted();
    return {
      state: "unreachable",
      message: `istiod could not be asked at ${address}: ${error instanceof Error ? error.message : String(error)}`,
    };
  }
}
