/** What is read of an object's metadata; nothing in it is certain until it is checked. */
export interface RawMetadata {
  readonly name?: string;
  readonly namespace?: string;
  readonly uid?: string;
  readonly resourceVersion?: string;
  readonly creationTimestamp?: string | null;
  readonly deletionTimestamp?: string | null;
  readonly finalizers?: readonly string[];
  readonly ownerReferences?: unknown;
  readonly labels?: Readonly<Record<string, string>> | null;
  readonly annotations?: Readonly<Record<string, string>> | null;
  readonly managedFields?: readonly { readonly manager?: string; readonly time?: string }[] | null;
}

/** An object as the API server sends it. */
export interface RawObject {
  readonly kind?: string;
  readonly metadata?: RawMetadata;
  readonly spec?: unknown;
  readonly status?: unknown;
  readonly data?: unknown;
}

/** One page of a list. */
export interface RawList {
  readonly metadata?: { readonly resourceVersion?: string; readonly continue?: string };
  readonly items?: readonly RawObject[] | null;
}

/** One line of a watch. */
export interface RawEvent {
  readonly type?: string;
  readonly object?: RawObject;
}
