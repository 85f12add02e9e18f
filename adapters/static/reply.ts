import { isMap, isNode, isScalar, isSeq, type Node } from "yaml";
import type { z } from "zod";
import { describeError, syntaxText } from "../../src/errors.ts";
import { type Service, type ServiceKey, serviceKey } from "../../src/model/service.ts";
import { namePart, serviceName } from "../fields.ts";
import { few } from "../text.ts";
import { brokenRules, type Problem, tooMany } from "./rules.ts";
import { type CheckForm, type ItemForm, itemSchema } from "./schema.ts";
import { toService } from "./service.ts";
import { offsetOf, parseSource, plainValue, resolved, type Source, type SyntaxProblem, startOf } from "./source.ts";
import type { WrittenItem } from "./split.ts";

/** One service of a file: what it says, or what is wrong with it. */
export interface Item {
  readonly key: ServiceKey;
  /** `services.yaml:12` */
  readonly place: string;
  /** Unless `problems` has something. */
  readonly service?: Service;
  readonly check?: CheckForm;
  /** `services.yaml:14:9: services[2].ports[0].number: must be 1–65535, is 70000` */
  readonly problems: readonly string[];
}

/** What one file says. */
export interface FileReply {
  readonly items: readonly Item[];
  /** Whatever concerns no service that can be named: the list of services is then only partly known. */
  readonly problems: readonly string[];
}

/** How files are read. */
export interface ReplyOptions {
  readonly registry: string;
  /** Namespace of services that name none. */
  readonly namespace: string;
}

/** How often one anchor may be used within one service, nested uses multiplied. */
const MAX_ALIASES = 10_000;
/** Values that one file may come to when its aliases are resolved; without aliases it has fewer than characters. */
const MAX_FILE_VALUES = 2_000_000;
/** Past this the file is no list of services; each one is looked for among all items. */
const MAX_DOUBLED = 1000;
const MOST_PROBLEMS = 100;

/** Read a file of services as a whole. `file` is its name in messages. Never throws. */
export function parseWhole(text: string, file: string, options: ReplyOptions): FileReply {
  try {
    return read(text, file, options);
  } catch (error) {
    // A stack that overflows on thousands of nested brackets.
    return { items: [], problems: [`${file}: cannot be read as YAML: ${describeError(error)}`] };
  }
}

/** Read one item of a list that was cut into its items. Never throws. */
export function parseItem(
  { text, line }: WrittenItem,
  index: number,
  file: string,
  options: ReplyOptions,
): Item | Nameless {
  try {
    const { source, problems } = parseSource(text, file, line);
    const broken = brokenText(text, source, problems);
    const list = source.document.contents;
    const node = isSeq(list) && list.items.length === 1 ? list.items[0] : undefined;
    if (broken !== undefined || !isNode(node))
      return brokenItem(source.place(0), broken ?? `${source.spot(0)}: is no item of a list`);
    const twice = problems.map(({ offset }) => offset);
    return readItem({ node, index, source, options, twice, onValue: () => {} });
  } catch (error) {
    const place = `${file}:${line + 1}`;
    return brokenItem(place, `${place}: cannot be read as YAML: ${describeError(error)}`);
  }
}

function brokenItem(place: string, problem: string): Nameless {
  return { key: undefined, isBroken: true, place, problems: [problem] };
}

/** What is said of YAML that cannot be read; a key that stands twice is for its item to say. */
function brokenText(text: string, source: Source, problems: readonly SyntaxProblem[]): string | undefined {
  const broken = problems.filter(({ code }) => code !== "DUPLICATE_KEY");
  const one = broken.length === 0 ? undefined : syntaxText(text, broken);
  return one === undefined ? undefined : `${source.spot(one.offset)}: ${one.message}`;
}

function read(text: string, file: string, options: ReplyOptions): FileReply {
  const { source, problems: syntax } = parseSource(text, file);
  const broken = brokenText(text, source, syntax);
  if (broken !== undefined) return { items: [], problems: [broken] };

  const twice = syntax.map((problem) => problem.offset);
  if (twice.length > MAX_DOUBLED)
    return {
      items: [],
      problems: [`${source.spot(twice[0] ?? 0)}: this key occurs twice, and ${twice.length - 1} more do`],
    };

  const { list, problems } = servicesOf(source);
  const most = Math.max(MAX_FILE_VALUES, text.length);
  let values = 0;
  const onValue = (value: unknown) => {
    values += countValues(value);
  };
  const replies = list.map((node, index) =>
    values > most
      ? unread(node, source, `comes after ${most} values, those of aliases among them: use several files`)
      : readItem({ node, index, source, options, twice, onValue }),
  );
  const outside = twice
    .filter((offset) => !list.some((node) => within(node, offset)))
    .map((offset) => `${source.spot(offset)}: this key occurs twice`);
  return fileReply(replies, [...problems, ...outside]);
}

/** What cannot be told which service it is. */
export type Nameless = Omit<Item, "key"> & {
  readonly key: undefined;
  /** Set where it is no YAML. */
  readonly isBroken?: true;
};

/** What a file says that has these items, and these problems beside. */
export function fileReply(replies: readonly (Item | Nameless)[], problems: readonly string[] = []): FileReply {
  // One mistake of an editor breaks many items: the first tells of it.
  const firstBroken = replies.find((reply) => reply.key === undefined && reply.isBroken);
  const nameless = replies
    .filter((reply) => reply.key === undefined && (!reply.isBroken || reply === firstBroken))
    .flatMap((reply) => reply.problems);
  return { items: replies.filter(isItem), problems: shortened([...problems, ...nameless]) };
}

function isItem(reply: Item | Nameless): reply is Item {
  return reply.key !== undefined;
}

/** The items of the list `services`, and what is wrong around it. */
function servicesOf(source: Source): {
  readonly list: readonly Node[];
  readonly problems: readonly string[];
} {
  const { document, spot } = source;
  const root = document.contents;
  if (!isMap(root))
    return {
      list: [],
      problems: [
        `${spot(root === null ? 0 : startOf(root))}: must be a mapping with the key services, is ${root === null ? "empty" : shown(toValue(root, source))}`,
      ],
    };
  const problems = root.items
    .filter(({ key }) => !(isScalar(key) && key.value === "services"))
    .map(
      ({ key }) =>
        `${spot(isNode(key) ? startOf(key) : 0)}: ${shown(toValue(key, source))} is not known here; known is services`,
    );
  const services = resolved(root.get("services", true), source);
  if (isSeq(services)) return { list: services.items.filter(isNode), problems };
  const wrong = `${spot(offsetOf(root, ["services"], source))}: services: ${services === undefined ? (root.has("services") ? "refers to an unknown anchor" : "is missing") : `must be a list, is ${shown(toValue(services, source))}`}`;
  return { list: [], problems: [...problems, wrong] };
}

function unread(node: Node, source: Source, why: string): Nameless {
  const place = source.place(startOf(node));
  return { key: undefined, place, problems: [`${place}: ${why}`] };
}

interface ItemReading {
  readonly node: Node;
  readonly index: number;
  readonly source: Source;
  readonly options: ReplyOptions;
  /** Offsets of keys that stand twice. */
  readonly twice: readonly number[];
  /** Told what the item comes to, whether it can be used or not. */
  readonly onValue: (value: unknown) => void;
}

function readItem({ node: written, index, source, options, twice, onValue }: ItemReading): Item | Nameless {
  const { spot } = source;
  const place = source.place(startOf(written));
  const node = resolved(written, source) ?? written;
  const at = (path: readonly PropertyKey[]) => offsetOf(node, path, source);
  const say = ({ path, message, ofKey }: Problem) =>
    `${spot(offsetOf(node, path, source, ofKey))}: ${dotted(["services", index, ...path])}: ${message}`;

  const doubled = twice
    .filter((offset) => within(node, offset))
    .map((offset) => `${spot(offset)}: ${dotted(["services", index])}: this key occurs twice`);
  const key = keyOf(node, options, source);
  const value = toValue(node, source);
  if ("js" in value) onValue(value.js);
  const form = formOf(value);
  const problems = doubled.length > 0 ? doubled : form.problems.map(say);
  if (key === undefined) return { key, place, problems: shortened(problems) };
  const id = serviceKey(options.registry, key.namespace, key.name);
  if (form.item === undefined || problems.length > 0) return { key: id, place, problems: shortened(problems) };

  const places = { service: place, endpoint: (position: number) => source.place(at(["endpoints", position])) };
  const service = toService(form.item, { registry: options.registry, namespace: key.namespace }, places);
  return { key: id, place, service, ...(form.item.check === undefined ? {} : { check: form.item.check }), problems };
}

/** The namespace and name of an item whatever else is wrong with it; `undefined` when they cannot be told. */
function keyOf(
  node: Node,
  { namespace }: ReplyOptions,
  source: Source,
): { readonly namespace: string; readonly name: string } | undefined {
  if (!isMap(node)) return undefined;
  const values = (field: string) =>
    node.items.filter(({ key }) => isScalar(key) && key.value === field).map(({ value }) => resolved(value, source));
  const text = (nodes: readonly (Node | undefined)[]) =>
    nodes.length === 1 && isScalar(nodes[0]) ? nodes[0].value : undefined;
  const own = values("namespace");
  const parsed = {
    namespace: namePart.safeParse(own.length === 0 ? namespace : text(own)),
    name: serviceName.safeParse(text(values("name"))),
  };
  if (!parsed.namespace.success || !parsed.name.success) return undefined;
  return { namespace: parsed.namespace.data, name: parsed.name.data };
}

function formOf(value: Value): { readonly item?: ItemForm; readonly problems: readonly Problem[] } {
  if ("problem" in value) return { problems: [{ path: [], message: value.problem }] };
  const large = tooMany(value.js);
  if (large.length > 0) return { problems: large };
  const result = itemSchema.safeParse(value.js);
  const problems = [
    ...(result.error?.issues ?? []).flatMap((issue) => problemsOf(issue, value.js)),
    ...brokenRules(value.js),
  ];
  return result.success ? { item: result.data, problems } : { problems };
}

function problemsOf(issue: z.core.$ZodIssue, item: unknown): Problem[] {
  if (issue.code === "unrecognized_keys")
    return issue.keys.map((key) => ({ path: [...issue.path, key], message: issue.message, ofKey: true as const }));
  const value = issue.path.reduce<unknown>(
    (at, step) => (at as Readonly<Record<PropertyKey, unknown>> | null | undefined)?.[step],
    item,
  );
  return [
    { path: issue.path, message: value === undefined ? "is missing" : `${issue.message}, is ${shown({ js: value })}` },
  ];
}

/** A node as plain values, or why it has none. */
type Value = { readonly js: unknown } | { readonly problem: string };

function toValue(node: Node, source: Source): Value {
  try {
    return { js: plainValue(node, source, MAX_ALIASES) };
  } catch (error) {
    return { problem: describeError(error) };
  }
}

function shown(value: Value): string {
  if ("problem" in value) return "unreadable";
  const { js } = value;
  if (js === null) return "empty";
  if (Array.isArray(js)) return js.length === 0 ? "an empty list" : "a list";
  if (typeof js === "object") return "a mapping";
  const text = String(js).slice(0, 80);
  return /^[-\w.:/]+$/.test(text) ? text : JSON.stringify(text);
}

/** `services[2].ports[0].number` */
function dotted(path: readonly PropertyKey[]): string {
  return path
    .map((step, depth) => (typeof step === "number" ? `[${step}]` : `${depth === 0 ? "" : "."}${String(step)}`))
    .join("");
}

function within(node: Node, offset: number): boolean {
  return node.range !== undefined && node.range !== null && offset >= node.range[0] && offset < node.range[2];
}

function countValues(value: unknown): number {
  if (typeof value !== "object" || value === null) return 1;
  let count = 1;
  for (const item of Object.values(value)) count += countValues(item);
  return count;
}

function shortened(problems: readonly string[]): readonly string[] {
  return few(problems, MOST_PROBLEMS, (rest) => `and ${rest} more`);
}
