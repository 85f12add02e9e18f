import type { StageDecision } from "../../model/claim.ts";
import type { ObjectKey } from "../../model/objects.ts";
import { rfc3339 } from "../../model/rfc3339.ts";
import type { LeftOutKind } from "../../model/service.ts";
import type { Match } from "../../plan/find.ts";
import type { StandingStage } from "../../plan/stages/standing-stage.ts";
import { stageJson, stageLine } from "./stage.ts";
import { age, endpointDetails, table } from "./text.ts";

/** One endpoint of a service: used, left out, or as it stands where its registry says nothing of it. */
export type ExplainedEndpoint =
  | {
      readonly state: "in" | "standing";
      readonly address: string;
      /** Numbers of all ports of the service. */
      readonly ports: Readonly<Record<string, number>>;
      readonly weight?: number;
      readonly locality?: string;
      readonly labels?: Readonly<Record<string, string>>;
      /** For people. */
      readonly place: string;
    }
  | { readonly state: "out"; readonly address: string; readonly kind: LeftOutKind; readonly reason: string };

/** The whole chain of one service. */
export interface Explanation extends Match {
  readonly registry: {
    readonly name: string;
    /** `unread`: its list or the service could not be read; `removed`: it is not configured any more. */
    readonly state: "read" | "unlisted" | "unread" | "removed";
    readonly source?: string;
    readonly readAtMs?: number;
    readonly why?: string;
  };
  readonly endpoints: readonly ExplainedEndpoint[];
  readonly host: string | undefined;
  readonly vips: readonly string[];
  readonly objects: readonly {
    readonly object: ObjectKey;
    readonly state: "inStep" | "held" | "toBeCreated" | "toBeChanged" | "toBeDeleted";
    /** By the target's clock. */
    readonly writtenMs?: number;
  }[];
  /** The target's time. */
  readonly targetMs: number;
  readonly answers: readonly {
    readonly name: string;
    readonly state: "answered" | "waiting";
    readonly a?: readonly string[];
    readonly aaaa?: readonly string[];
    readonly ttlSeconds?: number;
    /** Whether the mesh routes HTTP by this name; only where the service has HTTP. */
    readonly http?: "routed" | "dnsOnly";
    readonly xds?: boolean;
    readonly why?: string;
  }[];
  readonly stage: { readonly decision: StageDecision | undefined; readonly standing: StandingStage };
  /** Sentences for people. */
  readonly notes: readonly string[];
}

/** What a name is of a service, in one word. */
const KINDS: Readonly<Record<string, string>> = {
  "a service": "service",
  "the host": "host",
  "a legacy name": "legacyName",
  "an alias": "alias",
  "the VIP": "vip",
  "an exposed host": "exposedHost",
  "a name on an entry written by hand": "premadeName",
  "the service name": "serviceName",
  "an endpoint": "endpoint",
};

/** The chain of one service as data: stable words, and times as RFC 3339. */
export function explainJson({ key, as, registry, endpoints, host, vips, objects, answers, stage, notes }: Explanation) {
  const { readAtMs, ...read } = registry;
  const { decision, standing } = stage;
  return {
    service: key,
    as: KINDS[as] ?? as,
    registry: { ...read, ...(readAtMs === undefined ? {} : { readAt: rfc3339(readAtMs) }) },
    endpoints: endpoints.map((endpoint) => {
      if (endpoint.state === "out") return endpoint;
      const { place: _, ...rest } = endpoint;
      return rest;
    }),
    host: host ?? null,
    vips,
    objects: objects.map(({ writtenMs, ...object }) => ({
      ...object,
      ...(writtenMs === undefined ? {} : { writtenAt: rfc3339(writtenMs) }),
    })),
    answers,
    stage: {
      stage: standing.stage,
      weight: standing.weight,
      claimant: standing.claimant ?? null,
      ...(decision === undefined ? {} : { decided: stageJson(decision) }),
    },
    notes,
  };
}

/** The chain of one service, for people. */
export function explainLines(name: string, explanation: Explanation, nowMs: number): readonly string[] {
  const { key, as, endpoints, host, vips, objects, targetMs, answers, stage, notes } = explanation;
  const rows: [string, readonly string[]][] = [
    ["registry", [registryText(explanation.registry, nowMs)]],
    ["endpoints", endpoints.length === 0 ? ["none"] : table(endpoints.map(endpointCells))],
    [
      "host",
      [
        host === undefined
          ? "none: it is held"
          : `${host}, ${vips.length === 0 ? "no VIP yet" : `VIP ${vips.join(" ")}`}`,
      ],
    ],
    [
      "objects",
      objects.length === 0
        ? ["none"]
        : table(objects.map((one) => [one.object.replace("/", " "), objectText(one, targetMs)])),
    ],
    ["answers", answers.length === 0 ? ["none"] : answers.map(answerText)],
    ["stage", [stageLine(stage.decision, stage.standing)]],
    ["notes", notes],
  ];
  const lines = rows.flatMap(([label, texts]) =>
    texts.map((text, at) => `  ${(at === 0 ? label : "").padEnd(11)} ${text}`),
  );
  return [as === "a service" ? key : `${name} is ${as} of ${key}`, ...lines];
}

function registryText({ name, state, source, readAtMs = 0, why }: Explanation["registry"], nowMs: number): string {
  if (state === "read") return `${name}, ${source}; read ${age(nowMs - readAtMs)} ago`;
  if (state === "removed") return `${name}, which is not configured any more`;
  return state === "unlisted" ? `${name}, which no longer lists it` : `${name}: ${why}`;
}

function endpointCells(endpoint: ExplainedEndpoint): readonly string[] {
  if (endpoint.state === "out") return [endpoint.address, "out", endpoint.reason || "healthy"];
  const details = endpointDetails(endpoint);
  return [
    endpoint.place,
    "in",
    (endpoint.state === "in" ? details : `as it stands  ${details}`.trimEnd()) || "healthy",
  ];
}

const OBJECT_STATES = {
  inStep: "in step",
  held: "held",
  toBeCreated: "to be created",
  toBeChanged: "to be changed",
  toBeDeleted: "to be deleted",
} as const;

function objectText({ state, writtenMs }: Explanation["objects"][number], targetMs: number): string {
  return `${OBJECT_STATES[state]}${writtenMs === undefined ? "" : `, written ${age(targetMs - writtenMs)} ago`}`;
}

function answerText({
  name,
  state,
  a = [],
  aaaa = [],
  ttlSeconds,
  http,
  xds,
  why,
}: Explanation["answers"][number]): string {
  const dns =
    state === "waiting"
      ? "no answer yet"
      : `A ${a.join(" ") || "none"}, AAAA ${aaaa.join(" ") || "none"}, TTL ${ttlSeconds} s`;
  if (http === undefined) return `${name}  ${dns}`;
  if (http === "dnsOnly") return `${name}  ${dns}; HTTP by this name is not routed: ${why}`;
  return `${name}  ${dns}; HTTP by this name is routed, gRPC xds:/// by this name is ${xds === true ? "too" : "not (xds: false)"}`;
}
