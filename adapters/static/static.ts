import { firstOf } from "../../src/async/loop.ts";
import { yielding } from "../../src/async/yielding.ts";
import type { Adapter, Snapshot } from "../../src/model/adapter.ts";
import type { AdapterContext } from "../context.ts";
import { filesChange } from "./change.ts";
import { type Checker, checker } from "./check.ts";
import { type ParsedFile, parseInSlices } from "./file.ts";
import { digest, findFiles, type ReadFile, readFiles, stamp } from "./files.ts";
import { checkMetrics } from "./metrics.ts";
import type { StaticOptions } from "./options.ts";
import { type ServiceReads, serviceReads } from "./reads.ts";
import type { FileReply } from "./reply.ts";

/** What the last read met, whether it succeeded or not. */
interface Attempt {
  readonly files: string;
  readonly stamp: string;
  readonly failed: boolean;
}

/** What is known of the files of one registry. */
interface State {
  readonly registry: string;
  readonly dir: string;
  readonly options: StaticOptions;
  readonly checks: Checker;
  readonly reads: ServiceReads;
  /** By path. */
  readonly replies: Map<string, { readonly hash: string; readonly reply: ParsedFile }>;
  last: Attempt | undefined;
}

/** A registry that is YAML files. Reads them whole each time; health checks run while `waitForChange` is pending. */
export function staticFiles(options: StaticOptions, context: AdapterContext): Adapter {
  const { registry, dir } = context;
  const checks = checksOf(options, context);
  const reads = serviceReads(checks, options.failOpen);
  const state: State = { registry, dir, options, checks, reads, replies: new Map(), last: undefined };
  return {
    registry,
    read: (signal) => read(state, signal),
    waitForChange: (revision, signal) => waitForChange(state, revision, signal),
  };
}

function checksOf({ maxProbes }: StaticOptions, { registry, log, metrics }: AdapterContext): Checker {
  return checker({
    maxProbes,
    metrics: checkMetrics(metrics, registry),
    onTurn: ({ service, host, port }, down) => {
      if (down === undefined) log.info({ registry, service, host, port }, "Endpoint passes its check again");
      else log.warn({ registry, service, host, port, down }, "Endpoint fails its check");
    },
  });
}

async function read(state: State, signal: AbortSignal): Promise<Snapshot> {
  const { registry, dir, options, checks, reads, replies } = state;
  const found = await findFiles(options.file, dir);
  const stamped = await stamp(found);
  const files = await readFiles(found, signal);
  const attempt = { files: digest(found, files), stamp: stamped };
  state.last = { ...attempt, failed: true };
  const problems = [
    ...found.problems,
    ...files.flatMap(({ content }) => ("problem" in content ? [content.problem] : [])),
  ];
  if (files.every(({ content }) => "problem" in content))
    throw new Error(`Cannot read services of registry "${registry}": ${problems.join("; ")}`);

  const parsed: FileReply[] = [];
  for (const file of files) parsed.push(await parse(state, file, signal));
  for (const path of replies.keys()) if (!files.some((file) => file.path === path)) replies.delete(path);
  const unknown = [...problems, ...parsed.flatMap((reply) => reply.problems)];
  const items = parsed.flatMap((reply) => reply.items);
  // What turns between two slices is news for the next read.
  const generation = checks.generation();
  const services = await yielding(reads.of(items, unknown.length === 0), signal);
  state.last = { ...attempt, failed: false };
  return {
    registry,
    services,
    revision: `${attempt.files} ${generation}`,
    ...(unknown.length === 0 ? {} : { incomplete: unknown.join("; ") }),
  };
}

async function parse(
  { registry, options, replies }: State,
  { path, shown, content }: ReadFile,
  signal: AbortSignal,
): Promise<FileReply> {
  if ("problem" in content) return { items: [], problems: [] };
  const before = replies.get(path);
  if (before?.hash === content.hash) return before.reply;
  const { namespace } = options;
  const reply = await yielding(parseInSlices(content.text, shown, { registry, namespace }, before?.reply), signal);
  replies.set(path, { hash: content.hash, reply });
  return reply;
}

async function waitForChange(
  { dir, options, checks, last }: State,
  revision: string,
  signal: AbortSignal,
): Promise<void> {
  // After a failed read the files as it met them count as known, else waiting would end at once each time.
  const [files = "", generation = ""] =
    last?.failed === true ? [last.files, `${checks.generation()}`] : revision.split(" ");
  const known = last?.files === files ? last.stamp : undefined;
  signal.throwIfAborted();
  await firstOf(
    signal,
    (inner) => filesChange({ paths: options.file, dir, digest: files, stamp: known }, inner),
    (inner) => checks.run(Number(generation), inner),
  );
}
