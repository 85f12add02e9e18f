import { fieldsOf, listOf } from "../../istio/fields.ts";
import type { RawObject } from "../client/raw.ts";

/** Of a route that works, both are true. */
const CONDITIONS = ["Accepted", "ResolvedRefs"];

/**
 * Why the gateway of a route does not take it, as its controller says of the route's newest state; `undefined` while it takes
 * it, or nobody has said anything yet.
 *
 * @see kubernetes-sigs/gateway-api apis/v1/shared_types.go: RouteStatus
 */
export function whyRefused({ metadata, status }: RawObject): string | undefined {
  const { generation } = fieldsOf(metadata);
  for (const parent of listOf(fieldsOf(status).parents).map(fieldsOf)) {
    for (const condition of listOf(parent.conditions).map(fieldsOf)) {
      const { type, status: is, reason, message, observedGeneration } = condition;
      if (observedGeneration !== generation || is !== "False" || !CONDITIONS.includes(String(type))) continue;
      return `${String(reason)}: ${firstOf(String(message))}`;
    }
  }
  return undefined;
}

/** istiod says it once for each listener. */
function firstOf(text: string): string {
  const [first = ""] = text.trim().split(/;|\n/);
  return first.replace(/\.$/, "").slice(0, 200);
}
