import {
  HANDED_OVER_ANNOTATION,
  MANAGED_BY,
  MANAGED_BY_LABEL,
  OWNER_LABEL,
  RELEASED_ANNOTATION,
} from "../model/objects.ts";
import { type Fields, fieldsOf, timeOf } from "./fields.ts";

type Texts = Readonly<Record<string, string>>;

/** Whether an object carries our labels, with this owner. */
export function isLabelledOurs(labels: Texts | null | undefined, owner: string): boolean {
  return labels?.[OWNER_LABEL] === owner && labels[MANAGED_BY_LABEL] === MANAGED_BY;
}

/** To whom the names of an entry are handed over, and since when. */
export function handedOverTo(
  annotations: Texts | null | undefined,
): { readonly owner: string; readonly sinceMs: number } | undefined {
  const [owner = "", since] = annotations?.[HANDED_OVER_ANNOTATION]?.split("@") ?? [];
  const sinceMs = timeOf(since);
  return owner === "" || sinceMs === undefined ? undefined : { owner, sinceMs };
}

/** Why an object with our labels is left alone: it was released, or someone made a Service of their own of it. */
export function whyYielded(kind: string, annotations: Texts, spec: Fields): string | undefined {
  const released = annotations[RELEASED_ANNOTATION];
  if (released !== undefined) return `it was released at ${released}`;
  if (kind !== "Service") return undefined;
  if (spec.type !== "ExternalName") return `someone changed its type to ${String(spec.type ?? "ClusterIP")}`;
  return Object.keys(fieldsOf(spec.selector)).length > 0 ? "someone gave it a selector" : undefined;
}
