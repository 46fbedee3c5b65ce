/** A random UUID (version 4). The runtime's own global is used because it loads its crypto only when first asked: 1.5 MB less in an idle child. */

export function newUuid(): string {
  return globalThis.crypto.randomUUID();
}
