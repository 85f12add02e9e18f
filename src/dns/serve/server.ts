import { randomBytes } from "node:crypto";
import { availableParallelism } from "node:os";
import { followedNames } from "../ready/followed-names.ts";
import type { DnsServer, DnsServerOptions } from "./options.ts";
import { dnsThread } from "./thread.ts";
import { dnsWorkers } from "./workers.ts";

/** One thread for every core that this process may use; a container's CPU limit counts. */
export function workersByDefault(): number {
  return availableParallelism();
}

/**
 * A DNS server over UDP and TCP (RFC 1035 §4.2, RFC 7766).
 *
 * @throws {Error} When a range in `allow` cannot be read.
 */
export function dnsServer(options: DnsServerOptions): DnsServer {
  const { workers = 0, table, ...others } = options;
  // Of the process: a client whose next question reaches another thread keeps its cookie.
  const rest = { ...others, cookieSecret: randomBytes(32) };
  if (workers > 0) return dnsWorkers({ ...rest, table, workers });
  const thread = dnsThread({ ...rest, names: followedNames(table), tcp: true, reusePort: false });
  return { ...thread, refresh() {}, isCurrent: () => true };
}
