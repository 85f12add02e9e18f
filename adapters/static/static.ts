import { setImmediate as turnOfLoop } from "node:timers/promises";
import type { Adapter, Snapshot } from "../../src/model/adapter.ts";
import type { AdapterContext } from "../context.ts";
import { filesChange } from "./change.ts";
import { checker } from "./check.ts";
import { digest, findFiles, type ReadFile, readFiles, stamp } from "./files.ts";
import { checkMetrics } from "./metrics.ts";
import type { StaticOptions } from "./options.ts";
import { serviceReads } from "./reads.ts";
import { type FileReply, parseReply } from "./reply.ts";

/** What the last read met, whether it succeeded or not. */
interface Attempt {
  readonly files: string;
  readonly stamp: string;
  readonly failed: boolean;
}

/** A registry that is YAML files. Reads them whole each time; health checks run while `waitForChange` is pending. */
export function staticFiles(options: StaticOptions, context: AdapterContext): Adapter {
  const { registry, dir, log } = context;
  const checks = checker({
    maxProbes: options.maxProbes,
    metrics: checkMetrics(context.metrics, registry),
    onTurn: ({ service, host, port }, down) => {
      if (down === undefined) log.info({ registry, service, host, port }, "Endpoint passes its check again");
      else log.warn({ registry, service, host, port, down }, "Endpoint fails its check");
    },
  });
  const reads = serviceReads(checks, options.failOpen);
  const replies = new Map<string, { readonly hash: string; readonly reply: FileReply }>();
  let last: Attempt | undefined;

  async function read(signal: AbortSignal): Promise<Snapshot> {
    const found = await findFiles(options.file, dir);
    const stamped = await stamp(found);
    const files = await readFiles(found, signal);
    const attempt = { files: digest(found, files), stamp: stamped };
    last = { ...attempt, failed: true };
    const problems = [
      ...found.problems,
      ...files.flatMap(({ content }) => ("problem" in content ? [content.problem] : [])),
    ];
    if (files.every(({ content }) => "problem" in content))
      throw new Error(`Cannot read services of registry "${registry}": ${problems.join("; ")}`);

    const parsed: FileReply[] = [];
    for (const file of files) parsed.push(await parse(file));
    signal.throwIfAborted();
    for (const path of replies.keys()) if (!files.some((file) => file.path === path)) replies.delete(path);
    const unknown = [...problems, ...parsed.flatMap((reply) => reply.problems)];
    const items = parsed.flatMap((reply) => reply.items);
    const services = reads.of(items, unknown.length === 0);
    last = { ...attempt, failed: false };
    return {
      registry,
      services,
      revision: `${attempt.files} ${checks.generation()}`,
      ...(unknown.length === 0 ? {} : { incomplete: unknown.join("; ") }),
    };
  }

  async function parse({ path, shown, content }: ReadFile): Promise<FileReply> {
    if ("problem" in content) return { items: [], problems: [] };
    const before = replies.get(path);
    if (before?.hash === content.hash) return before.reply;
    await turnOfLoop(); // a large file takes a while: let others in between
    const reply = parseReply(content.text, shown, {
      registry,
      namespace: options.namespace,
      loopback: options.loopback,
    });
    replies.set(path, { hash: content.hash, reply });
    return reply;
  }

  async function waitForChange(revision: string, signal: AbortSignal): Promise<void> {
    // After a failed read the files as it met them are old news, else waiting would end at once each time.
    const [files = "", generation = ""] =
      last?.failed === true ? [last.files, `${checks.generation()}`] : revision.split(" ");
    const known = last?.files === files ? last.stamp : undefined;
    const end = new AbortController();
    const onAbort = () => end.abort(signal.reason);
    signal.throwIfAborted();
    signal.addEventListener("abort", onAbort, { once: true });
    const waits = [
      filesChange({ paths: options.file, dir, digest: files, stamp: known }, end.signal),
      checks.run(Number(generation), end.signal),
    ];
    try {
      await Promise.race(waits);
    } finally {
      signal.removeEventListener("abort", onAbort);
      end.abort();
      await Promise.allSettled(waits);
    }
  }

  return { registry, read, waitForChange };
}
