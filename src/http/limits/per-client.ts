/** Places that each client has. */
export interface PerClient {
  /** Takes one, until what is returned is called; undefined when all are taken. */
  take(client: string): (() => void) | undefined;
}

/** So many places for each client; those without one cost nothing. */
export function perClient(most: number): PerClient {
  const taken = new Map<string, number>();
  return {
    take(client) {
      const before = taken.get(client) ?? 0;
      if (before >= most) return undefined;
      taken.set(client, before + 1);
      return () => {
        const left = (taken.get(client) ?? 1) - 1;
        if (left === 0) taken.delete(client);
        else taken.set(client, left);
      };
    },
  };
}
