import { type PassResult, pass } from "../../src/controller/pass.ts";
import type { Claim, LiveClaimant, Stage } from "../../src/model/claim.ts";
import { type Manifest, objectKey, type VirtualServiceSpec } from "../../src/model/objects.ts";
import type { Service } from "../../src/model/service.ts";
import type { Standing } from "../../src/model/standing.ts";
import type { Decision } from "../../src/plan/decision.ts";
import { isAnnouncement } from "../../src/plan/stages/stage-routes.ts";
import { decider } from "./at-once.ts";
import { foreign, MESH, readings, type Said, service } from "./build.ts";
import { config, type MemoryTarget, memoryTarget } from "./memory.ts";

export const KEY = "dc1/shop/orders";
export const HOST = "orders.shop.dc1.mesh.internal";
export const INSIDE = "orders-v2.shop.svc.cluster.local";
export const LEGACY = "orders.old.example.org";
export const RULES = { allow: [{ registry: "dc1", by: ["shop"] }] };

/** Between passes: so long that all clients know what the one before wrote. */
export const BETWEEN_MS = 6000;

/** One service, its claimant, and all that is asked of it. */
export interface Moving {
  readonly target: MemoryTarget;
  said: Said;
  rules: object;
  /** Of the registry. */
  registry: object;
  rest: object;
  /** Have a Service claim the service; `undefined` takes the claim, and the Service, away. */
  claim(fields: Partial<Claim> | undefined, name?: string): void;
  pass(): Promise<PassResult>;
  /** From what stands, or as if `standing` did. */
  decide(standing?: Standing): Decision;
  /** Passes until nothing changes any more; gives all of them. */
  settle(): Promise<readonly PassResult[]>;
  /** Where the service stands: `split 10`, with where its alias and its routes lead. */
  place(): {
    readonly stage: string;
    readonly alias: string | undefined;
    readonly routes: Readonly<Record<string, number>>;
  };
  annotation(name: string): string | undefined;
  manifest(kind: Manifest["kind"]): Manifest | undefined;
}

/** A live Service that can take over an HTTP port 8080. */
export const LIVE: LiveClaimant = {
  type: "ClusterIP",
  ports: [{ name: "http", number: 8080, protocol: "HTTP", transport: "TCP" }],
  clusterIPs: ["10.96.0.7"],
  readyEndpoints: 1,
  selector: { app: "orders" },
  exportTo: [],
};

/** A claim of `shop/orders-v2`. */
export function claimOf(fields: Partial<Claim> = {}, name = "orders-v2"): Claim {
  const stage = fields.stage ?? "outside";
  return {
    ...{ namespace: "shop", name, service: KEY, source: "annotation", stage, request: "", sni: undefined, live: LIVE },
    ...{ weight: stage === "outside" ? 0 : 100, problems: [], ...fields },
  };
}

export function ask(stage: Stage, weight?: number): Partial<Claim> {
  return weight === undefined ? { stage } : { stage, weight };
}

export function moving(services: readonly Service[] = [service()], where: "cluster" | "folder" = "cluster"): Moving {
  const namespaces = new Map(["shop", "apps", "edge", MESH].map((name) => [name, "active"] as const));
  const target = memoryTarget(where === "cluster" ? namespaces : undefined);
  const signal = new AbortController().signal;
  const move: Moving = {
    target,
    said: services,
    rules: RULES,
    registry: {},
    rest: {},
    claim(fields, name = "orders-v2") {
      const key = objectKey("Service", fields?.namespace ?? "shop", name);
      if (fields === undefined) {
        target.claims.delete(key);
        target.foreign.delete(key);
        return;
      }
      const claim = claimOf(fields, name);
      target.claims.set(key, claim);
      if (claim.live === undefined) target.foreign.delete(key);
      else target.foreign.set(key, foreign("Service", `${claim.namespace}/${name}`));
    },
    decide: (standing) => computeOf()(standing),
    pass() {
      target.clockMs += BETWEEN_MS;
      return pass({ target, signal, isDryRun: false, mayWrite: () => true, decide: async () => computeOf()() });
    },
    async settle() {
      const done: PassResult[] = [];
      for (let at = 0; at < 12; at++) {
        const result = await move.pass();
        if (result.report.results.length === 0) return done;
        done.push(result);
      }
      throw new Error("It never settles");
    },
    place() {
      const stage = move.annotation("effective-stage") ?? "outside";
      const weight = move.annotation("effective-weight");
      const alias = manifestOf("Service");
      const route = manifestOf("VirtualService");
      const spec: Partial<VirtualServiceSpec> = route?.kind === "VirtualService" ? route.spec : {};
      const taken = (spec.http ?? []).filter((rule) => !isAnnouncement(rule));
      const [first] = [...taken, ...(spec.tcp ?? []), ...(spec.tls ?? [])];
      const routes = (first?.route ?? []).map((one) => [one.destination.host, one.weight ?? 100] as const);
      return {
        stage: weight === undefined ? stage : `${stage} ${weight}`,
        alias: alias?.kind === "Service" ? alias.spec.externalName : undefined,
        routes: Object.fromEntries(routes),
      };
    },
    annotation: (name) => manifestOf("ServiceEntry")?.metadata.annotations?.[`x2istio.dev/${name}`],
    manifest: manifestOf,
  };
  return move;

  function manifestOf(kind: Manifest["kind"]): Manifest | undefined {
    return [...target.objects.values()].find(({ manifest, service: key }) => manifest.kind === kind && key === KEY)
      ?.manifest;
  }

  function computeOf(): (standing?: Standing) => Decision {
    const settings = config([{ name: "dc1", legacyNames: ["{service}.old.example.org"], ...move.registry }], {
      migration: move.rules,
      target: { kind: "kubernetes" },
      aliases: [{ registry: "dc1", as: "{service}", in: "apps" }],
      ...move.rest,
    });
    const compute = decider(settings);
    return (standing = target.standing()) =>
      compute({
        readings: readings({ dc1: move.said }),
        standing,
        nowMs: target.clockMs,
        allowDeletes: new Set<string>(),
      });
  }
}
