import { createHash } from "node:crypto";
import { isSecretField } from "../secrets.ts";
import type { Config } from "./config.ts";

/** What may differ from replica to replica: where the file is, where it listens, what it takes of its machine. */
const OWN: Readonly<Record<"config" | "dns" | "target", ReadonlySet<string>>> = {
  config: new Set(["file", "dir", "http"]),
  dns: new Set(["listen", "workers", "nsid", "cacheMiB", "queryLog"]),
  target: new Set(["context", "path"]),
};

/**
 * 16 hex digits that tell configurations apart which would decide or answer otherwise. Secrets do not count, so that nobody can try
 * them out on it.
 */
export function configDigest(config: Config): string {
  const { dns, target, ...rest } = config;
  const counted = { ...without(rest, "config"), dns: without(dns, "dns"), target: without(target, "target") };
  const text = JSON.stringify(counted, (name, value: unknown) => (isSecretField(name) ? undefined : sorted(value)));
  return createHash("sha256").update(text).digest("hex").slice(0, 16);
}

function without(section: object, which: keyof typeof OWN): object {
  return Object.fromEntries(Object.entries(section).filter(([name]) => !OWN[which].has(name)));
}

/** Fields in one order, whatever order they were written in. */
function sorted(value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}
