import { ANNOTATION_PREFIX, type Manifest } from "../../model/objects.ts";
import type { StandingObject } from "../../model/standing.ts";

/** Fields to set, with `null` for those to remove (RFC 7396). */
export type MergePatch = Readonly<Record<string, unknown>>;

/** Labels of ours start so, as annotations do; others on our objects are somebody else's. */
const LABEL_PREFIX = ANNOTATION_PREFIX;

/**
 * The merge patch that makes `standing` what `desired` says, tied to that very version of it; `undefined` when nothing differs.
 *
 * The spec of Istio's kinds becomes `desired`'s as a whole. Of a Service only the fields in `desired` are set, as the API
 * server adds defaults. Labels and annotations that are not ours stay.
 */
export function updatePatch(standing: StandingObject, desired: Manifest): MergePatch | undefined {
  const labels = mapPatch(standing.manifest.metadata.labels, desired.metadata.labels, LABEL_PREFIX);
  const annotations = mapPatch(standing.manifest.metadata.annotations, desired.metadata.annotations, ANNOTATION_PREFIX);
  const spec =
    desired.kind === "Service"
      ? fieldPatch(standing.manifest.spec, desired.spec)
      : wholePatch(standing.manifest.spec, desired.spec);
  if (labels === undefined && annotations === undefined && spec === undefined) return undefined;
  return {
    metadata: {
      uid: standing.uid,
      resourceVersion: standing.resourceVersion,
      ...(labels === undefined ? {} : { labels }),
      ...(annotations === undefined ? {} : { annotations }),
    },
    ...(spec === undefined ? {} : { spec }),
  };
}

/**
 * The merge patch from one object to another, `undefined` when they are equal.
 * Inner objects are merged, all other values, arrays too, are replaced whole.
 */
export function wholePatch(from: object, to: object): MergePatch | undefined {
  const old = from as Readonly<Record<string, unknown>>;
  const wanted = to as Readonly<Record<string, unknown>>;
  const patch: Record<string, unknown> = {};
  for (const key of Object.keys(old)) if (old[key] !== undefined && own(wanted, key) === undefined) patch[key] = null;
  for (const [key, value] of Object.entries(wanted)) {
    const before = own(old, key);
    if (value === undefined || isEqual(before, value)) continue;
    patch[key] = isPlain(before) && isPlain(value) ? wholePatch(before, value) : value;
  }
  return Object.keys(patch).length === 0 ? undefined : patch;
}

/** The fields of `wanted` that `from` lacks or has otherwise. Fields that only `from` has do not count, in list items either. */
function fieldPatch(from: object, wanted: object): MergePatch | undefined {
  const entries = Object.entries(wanted).filter(
    ([key, value]) => !covers((from as Record<string, unknown>)[key], value),
  );
  return entries.length === 0 ? undefined : Object.fromEntries(entries);
}

function mapPatch(
  from: Readonly<Record<string, string>> = {},
  to: Readonly<Record<string, string>> = {},
  prefix: string,
): MergePatch | undefined {
  const patch: Record<string, string | null> = {};
  for (const key of Object.keys(from)) if (key.startsWith(prefix) && to[key] === undefined) patch[key] = null;
  for (const [key, value] of Object.entries(to)) if (from[key] !== value) patch[key] = value;
  return Object.keys(patch).length === 0 ? undefined : patch;
}

/** A label may be called "constructor". */
function own(fields: Readonly<Record<string, unknown>>, key: string): unknown {
  return Object.hasOwn(fields, key) ? fields[key] : undefined;
}

function isPlain(value: unknown): value is object {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isEqual(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (Array.isArray(a)) return Array.isArray(b) && a.length === b.length && a.every((item, at) => isEqual(item, b[at]));
  return isPlain(a) && isPlain(b) && wholePatch(a, b) === undefined;
}

function covers(from: unknown, wanted: unknown): boolean {
  if (from === wanted || wanted === undefined) return true;
  if (Array.isArray(wanted)) {
    return Array.isArray(from) && from.length === wanted.length && wanted.every((item, at) => covers(from[at], item));
  }
  return isPlain(from) && isPlain(wanted) && fieldPatch(from, wanted) === undefined;
}
