const MINUTE_MS = 60_000;

/** `tell`, of which calls count at most once a minute: what strangers can cause fills no log. */
export function onceAMinute<What>(tell: (what: What) => void): (what: What) => void {
  let toldMs = Number.NEGATIVE_INFINITY;
  return (what) => {
    if (performance.now() - toldMs < MINUTE_MS) return;
    toldMs = performance.now();
    tell(what);
  };
}
