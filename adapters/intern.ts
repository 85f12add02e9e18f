/** Hands out one object for all equal ones, so that ten thousand services of the same labels keep them once. */
export interface Intern {
  text(value: string): string;
  /** A record of equal entries in equal order. */
  record<Value extends string | number>(value: Readonly<Record<string, Value>>): Readonly<Record<string, Value>>;
}

/** Past so many the pool starts anew: what was handed out stays good, it is only shared less. */
const MOST = 20_000;

/** A pool of texts and records. */
export function intern(): Intern {
  let texts = new Map<string, string>();
  let records = new Map<string, Readonly<Record<string, string | number>>>();
  return {
    text(value) {
      const known = texts.get(value);
      if (known !== undefined) return known;
      if (texts.size >= MOST) texts = new Map();
      texts.set(value, value);
      return value;
    },
    record<Value extends string | number>(value: Readonly<Record<string, Value>>) {
      const key = JSON.stringify(value);
      const known = records.get(key);
      if (known !== undefined) return known as Readonly<Record<string, Value>>;
      if (records.size >= MOST) records = new Map();
      records.set(key, value);
      return value;
    },
  };
}
