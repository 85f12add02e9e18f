import type { LeftOut } from "../../src/model/service.ts";

/** A port that an instance says it has. */
export interface InstancePort {
  /** As declared; `undefined` for the instance's own port, which is named by its protocol. */
  readonly name?: string;
  readonly number: number;
  /** As the model has it; `undefined` when the instance does not say. */
  readonly protocol?: string;
}

/** One instance of any registry as the mesh sees it. */
export interface Instance {
  /** Parts instances of one service that are otherwise alike. */
  readonly id: string;
  readonly address: string;
  readonly ports: readonly InstancePort[];
  readonly tags: readonly string[];
  readonly meta: Readonly<Record<string, string>>;
  readonly weight?: number;
  readonly labels?: Readonly<Record<string, string>>;
  readonly region?: string;
  readonly zone?: string;
  readonly subzone?: string;
  /** Set when it is not used; its ports count all the same. */
  readonly out?: LeftOut;
  /** Only its checks keep it out, and it is not under maintenance. */
  readonly isUnhealthy?: true;
  readonly notes: readonly string[];
}
