import type { Adapter } from "../model/adapter.ts";

/**
 * A registry of its own with an adapter that reads it, for one check. The checks put services into it and take them out again;
 * each resolves when the registry has taken the change, which the adapter may see a little later.
 *
 * Services have plain names (`orders`) and at least one endpoint at any time; namespace, port and protocol are the world's choice.
 * What a registry does not have, or cannot be made to do, is left out: the checks that need it are skipped.
 */
export interface AdapterWorld {
  readonly adapter: Adapter;
  addService(name: string, addresses: readonly string[]): Promise<void>;
  removeService(name: string): Promise<void>;
  addEndpoint(service: string, address: string): Promise<void>;
  removeEndpoint(service: string, address: string): Promise<void>;
  /** Make the list of services unreadable. Resolves with the way back. */
  breakList(): Promise<Restore>;
  /** Make one service unreadable while the others are well. */
  breakService?(name: string): Promise<Restore>;
  /**
   * Take the right to one service from the adapter: it is not listed any more, and who asks for it by name is refused. Together with
   * `another`.
   */
  denyService?(name: string): Promise<Restore>;
  /** A further adapter of this registry that has read nothing yet, as a process has that has just started. It needs no closing. */
  another?(): Promise<Adapter>;
  /** Take an endpoint out, or put it back in, by whatever the registry has for it: a check, a flag, a weight of 0. */
  setHealthy?(service: string, address: string, healthy: boolean): Promise<void>;
  /** Let the registry list the same services and endpoints in another order. */
  shuffle?(): Promise<void>;
  /** Take the registry down, after `adapter.close()`. */
  close(): Promise<void>;
}

/** Undoes what was broken. */
export type Restore = () => Promise<void>;

/** Makes an empty world. Called for every check anew. */
export type StartWorld = () => Promise<AdapterWorld>;
