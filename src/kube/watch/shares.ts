/** How much is kept of each namespace, in whatever is counted. */
export interface Shares {
  /** Let an object have `size`, in place of what it had; tells whether its namespace has as much left. If not, it has nothing. */
  take(key: string, namespace: string, size: number): boolean;
  /** An object is gone. */
  free(key: string): void;
}

/** Nothing is taken. @param most what all objects of a namespace may have together */
export function namespaceShares(most: number): Shares {
  const taken = new Map<string, { readonly namespace: string; readonly size: number }>();
  const sums = new Map<string, number>();

  function free(key: string): void {
    const { namespace, size } = taken.get(key) ?? { namespace: "", size: 0 };
    if (!taken.delete(key)) return;
    const left = (sums.get(namespace) ?? 0) - size;
    if (left === 0) sums.delete(namespace);
    else sums.set(namespace, left);
  }

  return {
    take(key, namespace, size) {
      free(key);
      const sum = (sums.get(namespace) ?? 0) + size;
      if (sum > most) return false;
      taken.set(key, { namespace, size });
      sums.set(namespace, sum);
      return true;
    },
    free,
  };
}
