import {
  type Alias,
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseDocument,
  visit,
} from "yaml";
import { toJS } from "yaml/util";

/** A YAML document that knows where everything in it stands. */
export interface Source {
  readonly document: Document.Parsed;
  /** Nodes with an anchor, and aliases, in their order: yaml itself would walk the whole document for each alias. */
  readonly anchored: readonly Node[];
  /** What each alias leads to, unless it leads nowhere. */
  readonly targets: ReadonlyMap<Alias, Node>;
  /** `services.yaml:12` */
  place(offset: number): string;
  /** `services.yaml:12:5` */
  spot(offset: number): string;
}

/** One thing that is wrong in the YAML itself. */
export interface SyntaxProblem {
  readonly offset: number;
  readonly code: string;
  readonly message: string;
}

/**
 * Parse YAML with every scalar as the text that was written; an empty value is null. `file` is its name in messages.
 *
 * @param before lines of the file before `text`
 */
export function parseSource(
  text: string,
  file: string,
  before = 0,
): { readonly source: Source; readonly problems: readonly SyntaxProblem[] } {
  const lines = new LineCounter();
  const document = parseDocument(text, {
    lineCounter: lines,
    schema: "failsafe",
    customTags: ["null"],
    prettyErrors: false,
    logLevel: "error",
  });
  const source: Source = {
    document,
    ...anchorsOf(document),
    place: (offset) => `${file}:${before + lines.linePos(offset).line}`,
    spot: (offset) => {
      const { line, col } = lines.linePos(offset);
      return `${file}:${before + line}:${col}`;
    },
  };
  return { source, problems: document.errors.map(({ code, message, pos }) => ({ offset: pos[0], code, message })) };
}

function anchorsOf(document: Document.Parsed): Pick<Source, "anchored" | "targets"> {
  const anchored: Node[] = [];
  const byName = new Map<string, Node>();
  const targets = new Map<Alias, Node>();
  visit(document, {
    Node(_key, node) {
      if (isAlias(node)) {
        const target = byName.get(node.source);
        if (target !== undefined) targets.set(node, target);
        anchored.push(node);
      } else if (node.anchor !== undefined && node.anchor !== "") {
        byName.set(node.anchor, node);
        anchored.push(node);
      }
    },
  });
  return { anchored, targets };
}

/** The node that an alias leads to, or the node itself. */
export function resolved(node: unknown, { targets }: Source): Node | undefined {
  const target = isAlias(node) ? targets.get(node) : node;
  return isNode(target) ? target : undefined;
}

/**
 * A node as plain values.
 *
 * @throws When an alias leads nowhere, or when one anchor is used more than `maxAliases` times, nested uses multiplied.
 */
export function plainValue(node: Node, { document, anchored }: Source, maxAliases: number): unknown {
  return toJS(node, "", {
    anchors: new Map(),
    aliasResolveCache: anchored as Node[],
    doc: document,
    keep: true,
    mapAsMap: false,
    mapKeyWarned: false,
    maxAliasCount: maxAliases,
  });
}

/** Where the value at `path` below `node` begins (or with `ofKey` its key); of a missing value the place of what should hold it. */
export function offsetOf(node: Node, path: readonly PropertyKey[], source: Source, ofKey = false): number {
  let at: Node = node;
  let offset = startOf(node);
  for (const [depth, step] of path.entries()) {
    const [value, start] = childOf(at, step, ofKey && depth === path.length - 1);
    if (start === undefined) break;
    offset = start;
    const next = resolved(value, source);
    if (next === undefined) break;
    at = next;
  }
  return offset;
}

function childOf(node: Node, step: PropertyKey, ofKey: boolean): [value: unknown, start: number | undefined] {
  if (isSeq(node)) {
    const item = node.items[Number(step)];
    return [item, isNode(item) ? startOf(item) : undefined];
  }
  if (!isMap(node)) return [undefined, undefined];
  const pair = node.items.find(({ key }) => isScalar(key) && String(key.value ?? "") === step);
  if (pair === undefined) return [undefined, undefined];
  // An empty value stands nowhere: its key is the place.
  const empty = !isNode(pair.value) || (isScalar(pair.value) && pair.value.value === null);
  const shown = ofKey || empty ? pair.key : pair.value;
  return [pair.value, isNode(shown) ? startOf(shown) : undefined];
}

/** Where a node begins in the text. */
export function startOf(node: Node): number {
  return node.range?.[0] ?? 0;
}
