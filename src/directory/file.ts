import { isUtf8 } from "node:buffer";
import { hash } from "node:crypto";
import { stringMapOf } from "../istio/fields.ts";
import { API_VERSIONS, MANAGED_BY, MANAGED_BY_LABEL, MESH_KINDS, objectKey } from "../model/objects.ts";
import { type PremadeRule, premadeRequest } from "../model/premade.ts";
import type { ForeignObject, PremadeEntry, StandingLedgerBlock, StandingObject } from "../model/standing.ts";
import { isOurs, type RawObject, rawObject, toForeign, toPremade, toStanding } from "./project.ts";
import { parseYaml, toYaml } from "./yaml.ts";

/** One file as it stands. A new content is a new object. */
export interface DirectoryFile {
  /** Below the target's folder, with `/`. */
  readonly path: string;
  readonly hash: string;
  readonly objects: readonly StandingObject[];
  readonly foreign: readonly ForeignObject[];
  readonly ledger: StandingLedgerBlock | undefined;
  /** Documents that are not ours, as they stand: written back with ours. */
  readonly others: readonly string[];
  /** Those of them that are to be filled, by their place in `others`. */
  readonly premade: ReadonlyMap<number, PremadeEntry>;
  /** Why nothing in it can be read: `line 7: …`. */
  readonly problem: string | undefined;
}

/** What decides whose a document is. */
export interface Ownership {
  readonly owner: string;
  readonly ledgerNamespace: string;
  /** Which entries of others are to be filled; without it none. */
  readonly premade?: PremadeRule | undefined;
}

/** Whether we may write to a file: something of ours stands in it, and all of it can be read. */
export function mayRewrite(file: DirectoryFile): boolean {
  return file.problem === undefined && hasOurs(file);
}

function hasOurs({ objects, ledger }: DirectoryFile): boolean {
  return objects.length > 0 || ledger !== undefined;
}

/** Identifies a content. */
export function contentHash(content: string | Uint8Array): string {
  return hash("sha256", content, "hex").slice(0, 32);
}

/** Read a file's content. Objects that stand unchanged keep their identity from `before`. */
export function readFileContent(
  path: string,
  content: Uint8Array,
  writtenMs: number,
  ownership: Ownership,
  before: DirectoryFile | undefined,
): DirectoryFile {
  const parsed = isUtf8(content)
    ? parseYaml(Buffer.from(content).toString("utf8"))
    : { problem: "line 1: it is not UTF-8" };
  if ("problem" in parsed) return unreadableFile(path, contentHash(content), parsed.problem, before);
  const known = new Map(before?.objects.map((object) => [object.key, object]));
  const objects: StandingObject[] = [];
  const foreign: ForeignObject[] = [];
  const others: string[] = [];
  const premade = new Map<number, PremadeEntry>();
  let ledger: StandingLedgerBlock | undefined;
  for (const { value, text } of parsed.documents) {
    const raw = rawObject(value);
    const version = contentHash(text).slice(0, 16);
    if (
      raw?.kind === "ConfigMap" &&
      raw.labels[MANAGED_BY_LABEL] === MANAGED_BY &&
      path === ledgerPath(ownership.ledgerNamespace, raw.name)
    ) {
      ledger = { name: raw.name, resourceVersion: version, data: stringMapOf(raw.body.data) };
    } else if (raw !== undefined && isOurs(raw, ownership.owner)) {
      const same = known.get(objectKey(raw.kind, raw.namespace, raw.name));
      objects.push(same?.resourceVersion === version ? same : toStanding(raw, version, writtenMs));
    } else {
      const entry = raw === undefined ? undefined : premadeOf(raw, version, writtenMs, ownership.premade);
      const same = [...(before?.premade.values() ?? [])].find(({ key }) => key === entry?.key);
      if (entry !== undefined) premade.set(others.length, same?.resourceVersion === version ? same : entry);
      others.push(text);
      const clash = raw === undefined ? undefined : toForeign(raw);
      if (clash !== undefined) foreign.push(clash);
    }
  }
  const file = { path, hash: contentHash(content), objects, foreign, ledger, others, premade, problem: undefined };
  return mayRewrite(file) ? file : { ...file, foreign: withNameTaken(path, foreign) };
}

/**
 * A file of which nothing can be known now: what stood in it before goes on standing, as unreadable is not empty. One that was
 * never read keeps its name from us.
 */
export function unreadableFile(path: string, hash: string, problem: string, before?: DirectoryFile): DirectoryFile {
  if (before !== undefined && hasOurs(before)) return { ...before, hash, problem };
  const foreign = withNameTaken(path, []);
  return { path, hash, objects: [], foreign, ledger: undefined, others: [], premade: new Map(), problem };
}

/** An entry of someone else's that is to be filled. */
function premadeOf(
  raw: RawObject,
  version: string,
  writtenMs: number,
  rule: PremadeRule | undefined,
): PremadeEntry | undefined {
  const request = rule === undefined || raw.kind !== "ServiceEntry" ? undefined : premadeRequest(raw, rule);
  return request === undefined ? undefined : toPremade(raw, version, writtenMs, request);
}

/** A file that we must not overwrite holds the place of the entry it is named like. */
function withNameTaken(path: string, foreign: readonly ForeignObject[]): readonly ForeignObject[] {
  const [, namespace, name] = /^([^/]+)\/([^/]+)\.yaml$/.exec(path) ?? [];
  if (namespace === undefined || name === undefined) return foreign;
  if (
    foreign.some((object) => object.kind === "ServiceEntry" && object.namespace === namespace && object.name === name)
  )
    return foreign;
  return [
    ...foreign,
    { kind: "ServiceEntry", namespace, name, uid: "", hosts: [], addresses: [], createdMs: undefined },
  ];
}

/** Where a service's objects stand: `<namespace>/<the entry's name>.yaml`. */
export function servicePath(namespace: string, entryName: string): string {
  return `${namespace}/${entryName}.yaml`;
}

/** Where a ledger block stands. */
export function ledgerPath(namespace: string, name: string): string {
  return `${namespace}/${name}.yaml`;
}

/** A ledger block as text. Owners share a ledger, so it carries no owner label. */
export function ledgerText(
  namespace: string,
  name: string,
  data: Readonly<Record<string, string>>,
  others: readonly string[],
): string {
  const labels = { [MANAGED_BY_LABEL]: MANAGED_BY };
  return joinDocuments([
    toYaml({ apiVersion: "v1", kind: "ConfigMap", metadata: { name, namespace, labels }, data }),
    ...others,
  ]);
}

/** The objects of a service as text: entry, companion, VirtualService, then Services; last what is not ours. */
export function servicesText(manifests: readonly StandingObject["manifest"][], others: readonly string[]): string {
  const rank = ({ kind }: StandingObject["manifest"]) => MESH_KINDS.indexOf(kind);
  const place = ({ namespace, name }: { readonly namespace: string; readonly name: string }) => `${namespace}/${name}`;
  const sorted = [...manifests].sort((a, b) => rank(a) - rank(b) || (place(a.metadata) < place(b.metadata) ? -1 : 1));
  return joinDocuments([
    ...sorted.map(({ apiVersion, kind, metadata, spec }) =>
      toYaml({ apiVersion: apiVersion || API_VERSIONS[kind], kind, metadata, spec }),
    ),
    ...others,
  ]);
}

function joinDocuments(texts: readonly string[]): string {
  return texts.join("---\n");
}
