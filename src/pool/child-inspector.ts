/** The JavaScript of a child, looked at from outside: where it stands, and a debugger for it. Owns the contract, and what there is for children that are no processes. */

export interface ChildInspector {
  /** One line per frame; what kept it from being known when it is not. */
  stack(timeoutMs: number): Promise<readonly string[]>;
  /** Leave it open for a debugger: its address, also when it is open already. null: it does not answer, or has none of its own. */
  open(timeoutMs: number): Promise<string | null>;
  /** false: it was not open. */
  close(timeoutMs: number): Promise<boolean>;
}

/** `why` stands in for a stack. */
export function noInspector(why: string): ChildInspector {
  return { stack: async () => [why], open: async () => null, close: async () => false };
}
