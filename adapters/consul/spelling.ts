import { lowerCase } from "../../src/istio/lower-case.ts";

/** How a service is called whose name is written in several ways, none of which stands: in lower case, or as sorts first. */
export function spellingOf(ways: readonly string[]): string {
  const [first = ""] = [...ways].sort();
  const lower = lowerCase(first);
  return ways.includes(lower) ? lower : first;
}
