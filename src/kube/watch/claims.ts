import { MOST_OF_ONE } from "../../istio/clashes.ts";
import { fieldsOf, listOf, stringMapOf, stringsOf } from "../../istio/fields.ts";
import {
  type Claim,
  type ClaimPort,
  type LiveClaimant,
  type MeshNamespace,
  type PeerRule,
  REPLACES_ANNOTATION,
  REQUEST_ANNOTATION,
  type SidecarScope,
  SNI_ANNOTATION,
  STAGE_ANNOTATION,
  STAGES,
  type Stage,
  WEIGHT_ANNOTATION,
} from "../../model/claim.ts";
import { parseServiceKey } from "../../model/service.ts";
import { plainText } from "../../text.ts";
import type { RawObject } from "../client/raw.ts";

/** Of text that anyone may have written, what is worth keeping and showing. */
const MOST_CHARACTERS = 200;
/** Labels that say whom a selector means; with fewer of them it may mean more. */
const MOST_LABELS = 100;
/** The longest host of a Sidecar: a namespace, a slash, and a name (RFC 1035 §2.3.4). */
const MOST_OF_HOST = 63 + 1 + 253;
const EXPORT_ANNOTATION = "networking.istio.io/exportTo";

/** Istio's protocols by the word that means them (istio/istio pkg/config/protocol/instance.go). */
const PROTOCOLS: ReadonlyMap<string, string> = new Map([
  ...["tcp", "udp", "grpc", "grpc-web", "http", "http_proxy", "http2", "https", "tls", "mongo", "redis", "mysql"].map(
    (word) => [word, word.toUpperCase()] as const,
  ),
  ["kubernetes.io/h2c", "HTTP2"],
  ["kubernetes.io/ws", "HTTP"],
  ["kubernetes.io/wss", "HTTPS"],
]);

function shownText(text: string | undefined): string | undefined {
  return text === undefined ? undefined : plainText(text, MOST_CHARACTERS);
}

/** Whether a Service says that it replaces something. */
export function isClaimant({ metadata }: RawObject): boolean {
  return metadata?.annotations?.[REPLACES_ANNOTATION] !== undefined;
}

/** What a Service says it replaces, and how far that is to go. */
export function toClaim(raw: RawObject, live: LiveClaimant): Claim {
  const { name = "", namespace = "" } = raw.metadata ?? {};
  const annotations = stringMapOf(raw.metadata?.annotations);
  const said = (key: string) => shownText(annotations[key]?.trim());
  const replaces = said(REPLACES_ANNOTATION) ?? "";
  const problems: string[] = [];
  if (parseServiceKey(replaces) === undefined)
    problems.push(`annotation ${REPLACES_ANNOTATION} must be <registry>/<namespace>/<service>, not "${replaces}"`);
  const stage = stageOf(said(STAGE_ANNOTATION), problems);
  return {
    namespace,
    name,
    service: parseServiceKey(replaces) === undefined ? undefined : replaces,
    source: "annotation",
    stage,
    weight: weightOf(stage, said(WEIGHT_ANNOTATION), problems),
    request: said(REQUEST_ANNOTATION) ?? "",
    sni: sniOf(annotations[SNI_ANNOTATION], problems),
    live,
    problems,
  };
}

function sniOf(text: string | undefined, problems: string[]): readonly string[] | undefined {
  const names = text?.split(",", MOST_OF_ONE + 1);
  if (names !== undefined && names.length > MOST_OF_ONE)
    problems.push(`annotation ${SNI_ANNOTATION} must have at most ${MOST_OF_ONE} names`);
  return names?.slice(0, MOST_OF_ONE).flatMap((one) => shownText(one.trim().toLowerCase()) || []);
}

function stageOf(text: string | undefined, problems: string[]): Stage {
  const stage = STAGES.find((one) => one === (text ?? "outside"));
  if (stage === undefined)
    problems.push(`annotation ${STAGE_ANNOTATION} must be one of ${STAGES.join(", ")}, not "${text}"`);
  return stage ?? "outside";
}

function weightOf(stage: Stage, text: string | undefined, problems: string[]): number {
  if (stage !== "split") return stage === "outside" ? 0 : 100;
  const weight = Number(text ?? "0");
  if (/^\d{1,3}$/.test(text ?? "0") && weight <= 100) return weight;
  problems.push(`annotation ${WEIGHT_ANNOTATION} must be a whole number from 0 to 100, not "${text}"`);
  return 0;
}

/** What a cluster says of a Service, with the ready endpoints of its EndpointSlices. */
export function toLive(raw: RawObject, readyEndpoints: number): LiveClaimant {
  const spec = fieldsOf(raw.spec);
  const ips = stringsOf([...listOf(spec.clusterIPs), ...(listOf(spec.clusterIPs).length > 0 ? [] : [spec.clusterIP])]);
  const exported = raw.metadata?.annotations?.[EXPORT_ANNOTATION];
  return {
    type: typeof spec.type === "string" ? spec.type : "ClusterIP",
    ports: listOf(spec.ports).slice(0, MOST_OF_ONE).map(fieldsOf).map(portOf),
    clusterIPs: ips.filter((ip) => ip !== "None"),
    readyEndpoints,
    selector: labelsOf(spec.selector),
    exportTo: (exported ?? "").split(",", MOST_OF_ONE).flatMap((one) => shownText(one.trim()) || []),
  };
}

function labelsOf(selector: unknown): Readonly<Record<string, string>> {
  return Object.fromEntries(Object.entries(stringMapOf(selector)).slice(0, MOST_LABELS));
}

/** @see istio/istio pkg/config/kube/conversion.go: `appProtocol` first, then the name up to its first dash */
function portOf({ name, port, protocol, appProtocol }: Readonly<Record<string, unknown>>): ClaimPort {
  const called = typeof name === "string" ? name : "";
  const transport = typeof protocol === "string" ? protocol : "TCP";
  const app = typeof appProtocol === "string" ? PROTOCOLS.get(appProtocol.toLowerCase()) : undefined;
  const word = /^grpc-web(-|$)/i.test(called) ? "grpc-web" : called.split("-")[0]?.toLowerCase();
  const declared = app ?? PROTOCOLS.get(word ?? "");
  return {
    name: called,
    number: typeof port === "number" ? port : 0,
    protocol: transport === "TCP" ? declared : transport,
    transport,
  };
}

/** Endpoints of an EndpointSlice that take calls: ready, or not said to be unready. */
export function readyCount(raw: RawObject): number {
  const endpoints = listOf((raw as { readonly endpoints?: unknown }).endpoints).map(fieldsOf);
  return endpoints.filter(({ conditions }) => fieldsOf(conditions).ready !== false).length;
}

/** The Service that an EndpointSlice is of. */
export function serviceOfSlice({ metadata }: RawObject): string | undefined {
  return metadata?.labels?.["kubernetes.io/service-name"];
}

/** What a Sidecar lets its workloads see. One with more hosts than are kept of an object says nothing: it must not be in anyone's way. */
export function toSidecar(raw: RawObject): SidecarScope {
  const { name = "", namespace = "" } = raw.metadata ?? {};
  const egress = listOf(fieldsOf(raw.spec).egress);
  const hosts = egress.flatMap((listener) => stringsOf(fieldsOf(listener).hosts));
  const isKnown =
    egress.length > 0 && hosts.length <= MOST_OF_ONE && hosts.every(({ length }) => length <= MOST_OF_HOST);
  return { namespace, name, egressHosts: isKnown ? hosts : undefined };
}

/** What a PeerAuthentication asks of its workloads' callers. */
export function toPeerRule(raw: RawObject): PeerRule {
  const { name = "", namespace = "" } = raw.metadata ?? {};
  const spec = fieldsOf(raw.spec);
  const { mode } = fieldsOf(spec.mtls);
  const ports = Object.values(fieldsOf(spec.portLevelMtls)).map(fieldsOf);
  return {
    namespace,
    name,
    matchLabels: labelsOf(fieldsOf(spec.selector).matchLabels),
    mode: typeof mode === "string" ? mode : undefined,
    hasStrictPort: ports.some((port) => port.mode === "STRICT"),
  };
}

/** How a namespace takes part in the mesh; `undefined` when its labels say nothing of it. */
export function toMeshNamespace({ metadata }: RawObject): MeshNamespace | undefined {
  const labels = metadata?.labels ?? {};
  const waypoint = labels["istio.io/use-waypoint"] ?? "none";
  const isAmbient = labels["istio.io/dataplane-mode"] === "ambient";
  const isInjected = labels["istio-injection"] === "enabled" || labels["istio.io/rev"] !== undefined;
  if (!isAmbient && !isInjected && waypoint === "none") return undefined;
  return { isAmbient, isInjected, hasWaypoint: waypoint !== "none" };
}
