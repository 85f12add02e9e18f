import { finish, type Sliced } from "../../src/async/slices.ts";
import {
  type FileReply,
  fileReply,
  type Item,
  type Nameless,
  parseItem,
  parseWhole,
  type ReplyOptions,
} from "./reply.ts";
import { splitItems, type WrittenItem } from "./split.ts";

/** What a file says, with what saves work when it is read again. */
export interface ParsedFile extends FileReply {
  /** By the text of each item, as it stands in the file. */
  readonly parts: ReadonlyMap<string, Part>;
}

interface Part {
  readonly index: number;
  readonly line: number;
  readonly reply: Item | Nameless;
}

/** Characters of a file that has to be parsed as a whole: that takes about a second per million, in which no Lease is renewed. */
const MOST_WHOLE = 8 * 1024 * 1024;
/** Characters of one item: twice what the largest service has that Kubernetes takes. */
const MOST_OF_ITEM = 4 * 1024 * 1024;
const MOST_ITEMS = 200_000;
const NO_PARTS: ReadonlyMap<string, Part> = new Map();

/** {@link parseInSlices} at once. */
export function parseFile(...args: Parameters<typeof parseInSlices>): ParsedFile {
  return finish(parseInSlices(...args));
}

/**
 * Read a file of services, item by item where it is a list without anchors: then what is wrong with one concerns no other, and only
 * items that `before` does not have are parsed. `file` is its name in messages. Never throws.
 */
export function* parseInSlices(
  text: string,
  file: string,
  options: ReplyOptions,
  { parts: known }: Pick<ParsedFile, "parts"> = { parts: NO_PARTS },
): Sliced<ParsedFile> {
  const items = yield* splitItems(text);
  const refused = items === undefined ? wholeFault(text) : itemsFault(items);
  if (refused !== undefined)
    return { items: [], problems: [`${file}: ${refused}: use several files`], parts: NO_PARTS };
  if (items === undefined) return { ...parseWhole(text, file, options), parts: NO_PARTS };
  const parts = new Map<string, Part>();
  const replies: (Item | Nameless)[] = [];
  for (const [index, item] of items.entries()) {
    const before = known.get(item.text);
    const reply = (before && moved(before, item, index, file)) ?? parsed(item, index, file, options);
    parts.set(item.text, { index, line: item.line, reply });
    replies.push(reply);
    yield;
  }
  return { ...fileReply(replies), parts };
}

function wholeFault({ length }: string): string | undefined {
  return length <= MOST_WHOLE
    ? undefined
    : `must be at most 8 MiB, as it is no list of services under the key services alone, or uses anchors; is ${length} characters`;
}

function itemsFault({ length }: readonly WrittenItem[]): string | undefined {
  return length <= MOST_ITEMS ? undefined : `must have at most ${MOST_ITEMS} services, has ${length}`;
}

function parsed(item: WrittenItem, index: number, file: string, options: ReplyOptions): Item | Nameless {
  if (item.text.length <= MOST_OF_ITEM) return parseItem(item, index, file, options);
  const place = `${file}:${item.line + 1}`;
  const problem = `${place}: services[${index}]: must be at most 4 MiB, is ${item.text.length} characters`;
  return { key: undefined, place, problems: [problem] };
}

/** The same item at its new place; `undefined` where more of it says where it stands. */
function moved({ reply, ...at }: Part, { line }: WrittenItem, index: number, file: string): Part["reply"] | undefined {
  if (at.line === line && (at.index === index || reply.problems.length === 0)) return reply;
  if (reply.key === undefined || reply.service === undefined || reply.service.leftOut.length > 0) return undefined;
  const ownLine = Number(reply.place.slice(file.length + 1)) - at.line + line;
  const place = `${file}:${ownLine}`;
  return { ...reply, place, service: { ...reply.service, source: place } };
}
