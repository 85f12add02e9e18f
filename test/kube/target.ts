import assert from "node:assert/strict";
import { after } from "node:test";
import { kubeClient } from "../../src/kube/client/client.ts";
import { type KubernetesTargetOptions, kubernetesTarget } from "../../src/kube/kubernetes.ts";
import type { Change } from "../../src/model/plan.ts";
import type { StandingObject } from "../../src/model/standing.ts";
import type { Target, WriteOptions, WriteReport } from "../../src/model/target.ts";
import { type Kube, startKube } from "../servers/kube.ts";
import { type aliasOf, type entryOf, MESH, SHOP } from "./objects.ts";
import { leastRights } from "./rights.ts";

/** An API server of its own, and targets with the least rights on it. */
export interface TargetFixture {
  readonly kube: Kube;
  /** Watches, as owner `east`. */
  readonly target: Target;
  open(further?: Partial<KubernetesTargetOptions>, watch?: boolean): Promise<Target>;
  /** What stands in `target`; fails when it does not. */
  standing(key: string): StandingObject;
  /** Call once `signal` has aborted. */
  stop(): Promise<void>;
}

/** A target that has started: as owner `east`, by the rights of a kubeconfig. */
export async function openTarget(
  kubeconfig: string,
  signal: AbortSignal,
  further: Partial<KubernetesTargetOptions> = {},
  watch = true,
): Promise<Target> {
  const client = await kubeClient({ kubeconfig, userAgent: "x2istio-test" });
  const target = kubernetesTarget({
    client,
    owner: "east",
    namespace: MESH,
    aliasNamespaces: new Set([SHOP]),
    ledgerNamespace: MESH,
    ...further,
  });
  try {
    await target.start({ watch, signal });
    return target;
  } catch (error) {
    await target.close();
    throw error;
  }
}

/** Start an API server and open a target. */
export async function startTarget(signal: AbortSignal): Promise<TargetFixture> {
  const kube = await startKube({ namespaces: [MESH, SHOP] });
  const kubeconfig = await leastRights(kube);
  const opened: Target[] = [];
  const open: TargetFixture["open"] = async (further, watch) => {
    const opening = await openTarget(kubeconfig, signal, further, watch);
    opened.push(opening);
    return opening;
  };

  const target = await open();
  return {
    kube,
    target,
    open,
    standing(key) {
      const object = target.standing().objects.get(key);
      assert.ok(object, `${key} should stand`);
      return object;
    },
    async stop() {
      for (const each of opened) await each.close();
      await kube.stop();
    },
  };
}

/** The same for the suite that calls it, and the options of its writes; all of it ends with the suite. */
export async function suiteTarget(): Promise<TargetFixture & { readonly options: WriteOptions }> {
  const ending = new AbortController();
  const fixture = await startTarget(ending.signal);
  after(async () => {
    ending.abort();
    await fixture.stop();
  });
  return { ...fixture, options: { signal: ending.signal, mayWrite: () => true } };
}

/** `<change> <key>: <outcome>` of each change. */
export function outcomes({ results }: WriteReport): string[] {
  return results.map(
    ({ change, outcome }) =>
      `${change.kind} ${change.kind === "delete" ? change.standing.key : change.object.key}: ${outcome}`,
  );
}

/** A new object. */
export function create(object: ReturnType<typeof entryOf> | ReturnType<typeof aliasOf>): Change {
  return { kind: "create", object };
}
