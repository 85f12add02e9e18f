import { each } from "../../src/async/each.ts";
import { yielding } from "../../src/async/yielding.ts";
import { describeError, ReadError, readFailure } from "../../src/errors.ts";
import type { Adapter, ReadOptions, ServiceRead, Snapshot } from "../../src/model/adapter.ts";
import type { AdapterContext } from "../context.ts";
import { nameFilter } from "../globs.ts";
import { intern } from "../intern.ts";
import { compileRules } from "../shapes/rules.ts";
import { shorten } from "../text.ts";
import { type Catalog, catalog } from "./catalog/catalog.ts";
import type { Part } from "./catalog/parts.ts";
import { type ZooKeeperClient, zooKeeperClient } from "./client/client.ts";
import type { Line } from "./client/line.ts";
import { type Tree, treeOn } from "./client/tree.ts";
import { interfaceOf, interfaceOfNode, nodeOfKey } from "./mapping/url.ts";
import { type ZooKeeperMetrics, zooKeeperMetrics } from "./metrics.ts";
import type { ZooKeeperOptions } from "./options.ts";
import { type Changes, createTreeChanges } from "./read/changes.ts";
import { curatorLayout, interfacesOf } from "./read/curator.ts";
import { dubboLayout } from "./read/dubbo.ts";
import type { Layout } from "./read/layout.ts";

/** Nodes of services that are read at once: their answers come in order on one connection. */
const AT_ONCE = 64;
/** All below the root; each takes some hundred octets of memory. */
const MOST_REGISTRATIONS = 1_000_000;
/** A server that answers each request in time may still take for ever. */
const MOST_READ_MS = 5 * 60_000;

interface State {
  readonly registry: string;
  readonly options: ZooKeeperOptions;
  readonly metrics: ZooKeeperMetrics;
  readonly client: ZooKeeperClient;
  readonly layout: Layout;
  readonly changes: Changes;
  readonly known: Catalog;
  /** The connection on which the server was asked to tell of changes, and whether each node has to be watched by itself. */
  watched: { readonly line: Line; readonly isEach: boolean } | undefined;
  /** Nodes below the root, as the last list had them. */
  nodes: readonly string[];
  notes: readonly string[];
}

/** A registry that is a ZooKeeper, of one server or of an ensemble. */
export function zookeeper(options: ZooKeeperOptions, context: AdapterContext): Adapter {
  const state = newState(options, context);
  const { registry, client, changes, known } = state;
  let version = 0;
  let last: Snapshot | undefined;

  return {
    registry,
    async read(signal: AbortSignal, { trigger, standing = () => [] }: ReadOptions) {
      signal.throwIfAborted();
      const limit = AbortSignal.timeout(MOST_READ_MS);
      const ended = AbortSignal.any([signal, limit]);
      const onAbort = () => client.current()?.end(new ReadError("timeout", "the read did not end in time"));
      ended.addEventListener("abort", onAbort, { once: true });
      try {
        await readTree(state, await client.line(ended), trigger === "poll");
        await yielding(known.settle(), ended);
      } catch (error) {
        changes.everything();
        signal.throwIfAborted();
        throw error;
      } finally {
        ended.removeEventListener("abort", onAbort);
      }
      const { services, ...rest } = known.read(standing());
      if (!isSame(last?.services, services)) version++;
      const notes = state.notes.length === 0 ? {} : { notes: state.notes };
      last = { registry, services, revision: `${version}`, ...rest, ...notes };
      return last;
    },
    async waitForChange(_revision, signal) {
      const line = client.current();
      if (line === undefined) return signal.throwIfAborted(); // whoever reads finds out whether there is a server
      await changes.wait(signal);
    },
    close: () => client.close(),
  };
}

function newState(options: ZooKeeperOptions, context: AdapterContext): State {
  const { registry } = context;
  const { layout: kind, by, address, namespace } = options;
  const metrics = zooKeeperMetrics(context.metrics, registry);
  const mapping = { labels: options.labels, rules: compileRules(options), pool: intern() };
  const root = options.root ?? (kind === "dubbo" ? "/dubbo" : "/services");
  const layout = kind === "dubbo" ? dubboLayout(root, by, mapping) : curatorLayout(root, mapping);
  const isByInterface = kind === "dubbo" && by === "interface";
  const changes = createTreeChanges(layout, address.chroot);
  const isWanted = nameFilter(options.services);
  const nodeOf = isByInterface ? nodeOfKey : kind === "curator" ? (service: string) => service : undefined;
  const known = catalog({
    ...mapping,
    registry,
    namespace,
    nodeOf,
    nameOf: kind === "dubbo" ? interfaceOfNode : (node) => node,
    isMadeOnce: nodeOf !== undefined && options.dubboRoot === undefined,
    isWanted: isByInterface ? (service) => isWanted(service) || isWanted(interfaceOf(service)) : isWanted,
    sourceOf: (service) => `${address.chroot}${root}${nodeOf === undefined ? "" : `/${nodeOf(service)}`}`,
  });
  const client = zooKeeperClient(options, context, metrics, (event) => {
    metrics.told();
    changes.event(event);
  });
  return { registry, options, metrics, client, layout, changes, known, watched: undefined, nodes: [], notes: [] };
}

/** Read what may have moved: everything on a poll, and after a connection broke, of whose watches nothing is left. */
async function readTree(state: State, line: Line, isPoll: boolean): Promise<void> {
  const { options, metrics, layout, changes, known } = state;
  const tree = treeOn(line, options.address.chroot, metrics);
  const isNew = state.watched?.line !== line;
  if (isNew) state.watched = { line, isEach: !(await tree.watchBelow(layout.root)) };
  if (isNew) void line.ended.then(() => changes.everything());
  const isEach = state.watched?.isEach === true;
  // What is told from here on is read the next time.
  const changed = changes.take();
  const isAll = isNew || isPoll || changed.all;
  if (isAll) await tree.sync(layout.root);
  if (isAll || changed.list) {
    const listed = await tree.children(layout.root, isEach);
    if (listed.state === "none")
      throw new ReadError(
        "answer",
        `there is no node ${options.address.chroot}${layout.root}: see the options root and layout`,
      );
    state.nodes = listed.value.filter(layout.isService).toSorted();
  }
  const listed = new Set(state.nodes);
  known.retain(listed);
  const isDue = (node: string) => isAll || changed.nodes.has(node) || known.part(node) === undefined;
  await each(state.nodes.filter(isDue), AT_ONCE, async (node) => {
    const before = known.part(node);
    const part = await readNode(state, tree, line, node, isEach);
    if (part === undefined)
      listed.delete(node); // it has just gone
    else if (part !== before) known.put(node, part);
    if (known.registrations() > MOST_REGISTRATIONS)
      throw new ReadError("answer", `there are more than ${MOST_REGISTRATIONS} registrations`);
  });
  if (listed.size < state.nodes.length) known.retain(listed);
  if (isAll && options.dubboRoot !== undefined) await readInterfaces(state, tree, line, options.dubboRoot);
}

async function readNode(
  { layout, known }: State,
  tree: Tree,
  line: Line,
  node: string,
  isEach: boolean,
): Promise<Part | undefined> {
  try {
    return await layout.read(tree, node, known.part(node), isEach);
  } catch (cause) {
    if (!line.isOpen()) throw cause;
    return { state: "failed", cause };
  }
}

async function readInterfaces(state: State, tree: Tree, line: Line, dubboRoot: string): Promise<void> {
  try {
    state.known.setInterfaces(await interfacesOf(tree, dubboRoot));
    state.notes = [];
  } catch (cause) {
    if (!line.isOpen() || readFailure(cause) === "connection") throw cause;
    state.notes = [`the interfaces of applications cannot be read: ${shorten(describeError(cause), 400)}`];
  }
}

function isSame(before: readonly ServiceRead[] | undefined, now: readonly ServiceRead[]): boolean {
  return (
    before?.length === now.length &&
    now.every((one, at) => {
      const other = before[at];
      return one.state === "ok" && other?.state === "ok" && one.service === other.service;
    })
  );
}
