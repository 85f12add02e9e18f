import { ReadError } from "../../src/errors.ts";
import type { Connection } from "./client/connection.ts";
import { parseNames } from "./client/reply.ts";
import type { Session } from "./client/session.ts";
import { DEFAULT_GROUP, meshName, type NacosName } from "./names.ts";
import type { NacosOptions } from "./options.ts";

/** What a namespace lists. */
export interface Listed {
  readonly groups: readonly string[];
  readonly names: readonly NacosName[];
  /** Why that may not be all. */
  readonly incomplete?: string | undefined;
  readonly notes: readonly string[];
}

/** Of what names are listed. */
export interface ListOptions {
  readonly id: string;
  readonly session: Session;
  readonly options: Pick<NacosOptions, "groups">;
}

/** Pages are cut from a set that others change: one has to have all. */
const PAGE = 100_000;
/** So often a list is read that does not have as many names as it says. */
const MOST_TRIES = 3;
/** It is there always, and cannot be deleted. */
const PUBLIC = "public";

/** Read the lists of all groups. @throws {ReadError} When none can be read. */
export async function listNames(
  { id, session, options }: ListOptions,
  connection: Connection,
  signal: AbortSignal,
): Promise<Listed> {
  const found = options.groups === undefined ? await groupsOf(session, id, signal) : { groups: options.groups };
  const lists = await Promise.all(
    found.groups.map(async (group) => {
      try {
        return { names: await listOf({ id, session }, connection, group, signal) };
      } catch (error) {
        signal.throwIfAborted();
        if (error instanceof ReadError)
          return { failure: new ReadError(error.failure, `group ${group}`, { cause: error }) };
        throw error;
      }
    }),
  );
  const failures = lists.flatMap(({ failure }) => failure ?? []);
  const names = lists.flatMap((list) => list.names ?? []);
  const [first] = failures;
  if (first !== undefined && failures.length === lists.length) throw first;
  const doubts = [found.doubt, ...failures.map(({ message }) => `${message} cannot be listed`)];
  const unconfirmed = names.length === 0 ? await whyUnconfirmed(session, id, signal) : undefined;
  const incomplete = [...doubts, unconfirmed].filter((one) => one !== undefined).join("; ");
  return {
    groups: found.groups,
    names,
    incomplete: incomplete === "" ? undefined : incomplete,
    notes: [found.note, unconfirmed === undefined ? undefined : `namespace ${id} lists nothing: ${unconfirmed}`].filter(
      (one) => one !== undefined,
    ),
  };
}

/**
 * Whether the lists of the groups that were found name other services than they did.
 *
 * @throws {ReadError} When one of them cannot be read.
 */
export async function isOther(
  options: Omit<ListOptions, "options">,
  connection: Connection,
  { groups, names }: Listed,
  signal: AbortSignal,
): Promise<boolean> {
  const lists = await Promise.all(groups.map((group) => listOf(options, connection, group, signal)));
  const before = new Set(names.map(meshName));
  const now = new Set(lists.flat().map(meshName));
  return now.size !== before.size || [...now].some((name) => !before.has(name));
}

interface Found {
  readonly groups: readonly string[];
  readonly doubt?: string;
  readonly note?: string;
}

/** The groups that have services, if the server tells. */
async function groupsOf(session: Session, id: string, signal: AbortSignal): Promise<Found> {
  try {
    const groups = await session.groups(id, signal);
    if (groups !== undefined) return { groups: groups.length === 0 ? [DEFAULT_GROUP] : groups };
    const note = `of namespace ${id} only ${DEFAULT_GROUP} is read, as the server does not tell its groups: name them in the option groups`;
    return { groups: [DEFAULT_GROUP], note };
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof ReadError)) throw error;
    const doubt = `its groups cannot be found (${error.message}); the option groups names them`;
    return { groups: [DEFAULT_GROUP], doubt };
  }
}

async function listOf(
  { id, session }: Omit<ListOptions, "options">,
  connection: Connection,
  group: string,
  signal: AbortSignal,
): Promise<readonly NacosName[]> {
  const body = { namespace: id, groupName: group, pageNo: 1, pageSize: PAGE, module: "naming" };
  for (let left = MOST_TRIES; ; left--) {
    const answer = await session.ask(connection, "ServiceListRequest", body, { group }, signal);
    const { count, names } = parseNames(answer);
    const distinct = new Set(names);
    if (distinct.size === count) return [...distinct].map((name) => ({ group, name }));
    if (left <= 1) throw new ReadError("answer", `says that there are ${count} services and lists ${distinct.size}`);
  }
}

/** A namespace that does not exist lists nothing, like one that is empty. */
async function whyUnconfirmed(session: Session, id: string, signal: AbortSignal): Promise<string | undefined> {
  if (id === PUBLIC) return undefined;
  try {
    const ids = await session.namespaces(signal);
    if (ids?.includes(id) === true) return undefined;
    return ids === undefined
      ? "nobody can tell whether it exists, as the server does not list its namespaces"
      : "the server has no namespace of this id";
  } catch (error) {
    signal.throwIfAborted();
    if (!(error instanceof ReadError)) throw error;
    return `nobody can tell whether it exists (${error.message})`;
  }
}
