/**
 * Whether resourceVersion `a` is later than `b`. Both are decimal numbers of any length without leading zeros
 * (comparable within one kind since Kubernetes 1.35, and so in every release before in fact).
 */
export function isNewer(a: string, b: string): boolean {
  return a.length === b.length ? a > b : a.length > b.length;
}
