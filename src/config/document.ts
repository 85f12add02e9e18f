import { type Document, isAlias, isMap, isNode, isScalar, isSeq, LineCounter, parseDocument } from "yaml";
import { syntaxText } from "../errors.ts";

/** Where in a document something stands, from the top. */
export type Path = readonly PropertyKey[];

/** Something wrong in a configuration. `message` reads on from the path: `must be a number`. */
export interface Problem {
  readonly path: Path;
  readonly message: string;
  /** The key itself is wrong, not its value. */
  readonly isKey?: boolean;
  /** Character offset in the text; found from `path` when absent. */
  readonly offset?: number;
}

/** A parsed YAML text whose values know their lines. */
export interface ConfigDocument {
  /** Plain data with `${ENV}` expanded. */
  readonly value: unknown;
  readonly problems: readonly Problem[];
  /** All problems in the order of the text, each `file:line:col path: sentence`. */
  describe(problems: readonly Problem[]): string[];
  /** Where something stands: `x2istio.yaml:4:18`. */
  place(path: Path): string;
}

/** Parse a YAML text and expand `${ENV}` in its string values; `$${` stands for a literal `${`. Never throws. */
export function readDocument(
  text: string,
  file: string,
  env: Readonly<Record<string, string | undefined>>,
): ConfigDocument {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const problems: Problem[] = syntaxProblems(text, document);
  const expanded = new Map<string, string>();
  let value: unknown;
  try {
    if (problems.length === 0) value = expandIn(document.toJS(), [], { env, expanded, problems });
  } catch (error) {
    problems.push({ path: [], message: `cannot be read: ${error instanceof Error ? error.message : String(error)}` }); // an alias bomb
  }

  function describe(all: readonly Problem[]): string[] {
    const placed = all.map((problem) => ({ ...problem, offset: problem.offset ?? offsetOf(document, problem) }));
    placed.sort((a, b) => a.offset - b.offset);
    return placed.map(
      ({ path, message, offset }) => `${placeOf(offset)} ${formatPath(path)}: ${withoutSecrets(message, expanded)}`,
    );
  }
  function placeOf(offset: number): string {
    const { line, col } = lines.linePos(offset);
    return `${file}:${Math.max(line, 1)}:${Math.max(col, 1)}`;
  }
  return { value, problems, describe, place: (path) => placeOf(offsetOf(document, { path, message: "" })) };
}

interface Expansion {
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Value to variable name. */
  readonly expanded: Map<string, string>;
  readonly problems: Problem[];
}

function expandIn(value: unknown, path: Path, expansion: Expansion): unknown {
  if (typeof value === "string") return expandText(value, path, expansion);
  if (typeof value !== "object" || value === null) return value;
  if (path.length > 32) throw new Error("it is nested more than 32 levels deep"); // an alias inside its own anchor has no end
  if (Array.isArray(value)) return value.map((item, index) => expandIn(item, [...path, index], expansion));
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [key, expandIn(inner, [...path, key], expansion)]),
  );
}

function expandText(text: string, path: Path, { env, expanded, problems }: Expansion): string {
  return text.replace(/(\$?)\$\{([^}]*)\}/g, (whole, dollar: string, name: string) => {
    if (dollar !== "") return whole.slice(1);
    const value = /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) ? env[name] : undefined;
    if (value === undefined) problems.push({ path, message: `environment variable "${name}" is not set` });
    else expanded.set(value, name);
    return value ?? whole;
  });
}

/** A message may quote a value; one that came from the environment may be a secret. */
function withoutSecrets(message: string, expanded: ReadonlyMap<string, string>): string {
  const byLength = [...expanded].filter(([value]) => value.length > 2).sort(([a], [b]) => b.length - a.length);
  return byLength.reduce((text, [value, name]) => text.replaceAll(value, () => `\${${name}}`), message);
}

/** What is wrong in the YAML itself, with the key of its line. Keys that are there twice are each told. */
function syntaxProblems(text: string, { errors, warnings }: Document.Parsed): Problem[] {
  const all = [...errors, ...warnings].map(({ code, message, pos }) => ({ offset: pos[0], code, message }));
  const twice = all.filter(({ code }) => code === "DUPLICATE_KEY");
  const first = syntaxText(
    text,
    all.filter(({ code }) => code !== "DUPLICATE_KEY"),
  );
  const told = twice.map(({ offset }) => ({ offset, message: "is there twice: keys must be unique" }));
  return [...told, ...(first === undefined ? [] : [first])].map(({ offset, message }) => {
    const start = text.lastIndexOf("\n", offset - 1) + 1;
    const [, key] = /^[\s-]*([A-Za-z]\w*):/.exec(text.slice(start, start + 200)) ?? [];
    return {
      path: key === undefined ? [] : [key],
      message: message.charAt(0).toLowerCase() + message.slice(1),
      offset,
    };
  });
}

/** `registries[0].name` */
export function formatPath(path: Path): string {
  const text = path.map((part) => (typeof part === "number" ? `[${part}]` : `.${String(part)}`)).join("");
  return text === "" ? "(top level)" : text.replace(/^\./, "");
}

/** Start of the deepest node that exists on the way to a problem. */
function offsetOf(document: Document.Parsed, { path, isKey = false }: Problem): number {
  let offset = document.contents?.range[0] ?? 0;
  let node: unknown = document.contents;
  for (const [index, part] of path.entries()) {
    if (isAlias(node)) node = node.resolve(document);
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => String(isScalar(key) ? key.value : key) === String(part));
      if (isNode(pair?.key)) offset = pair.key.range?.[0] ?? offset;
      node = isKey && index === path.length - 1 ? undefined : pair?.value;
    } else node = isSeq(node) ? node.items[Number(part)] : undefined;
    if (!isNode(node)) break;
    offset = node.range?.[0] ?? offset;
  }
  return offset;
}
