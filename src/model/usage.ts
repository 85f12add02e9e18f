/** Questions for one name of a service, from one kind of client, since they were counted last. */
export interface NameQuestions {
  /** Lower case, without a trailing dot; a name of the table that is answered from. */
  readonly name: string;
  /** What such clients are given: a view's name, or "mesh" for the VIPs. */
  readonly view: string;
  /** Address of the first of those who asked. */
  readonly client: string;
  readonly count: number;
}
