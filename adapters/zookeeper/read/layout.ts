import type { Part } from "../catalog/parts.ts";
import type { Tree } from "../client/tree.ts";

/** How one kind of client writes its tree. */
export interface Layout {
  /** Path of the node below which all is. */
  readonly root: string;
  /** Whether a child of the root is a service, and not something of the client's own. */
  isService(node: string): boolean;
  /** Whether a change at this place below a service's node says something; names of nodes, without the service's own. */
  concerns(below: readonly string[]): boolean;
  /**
   * Read one service's node. `undefined` when it is not there.
   *
   * @param before what was read last: given back where nothing has moved
   * @throws {ReadError} When the connection broke: whatever befalls this node alone is a failed part.
   */
  read(tree: Tree, node: string, before: Part | undefined, isWatched: boolean): Promise<Part | undefined>;
}
