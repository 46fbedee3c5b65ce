/**
 * The methods of strings, as quick as V8 has them.
 *
 * V8 turns an object into a dictionary when something new inherits from it, as `class Verbatim extends String` in ioredis does with
 * String.prototype, and back when a property is read by way of an object often enough to be noted. A primitive string is no object:
 * in a program that has no other, `text.charCodeAt` and the like stay a search in a dictionary, which no compiler does away with. Of
 * the parent's instructions for a message that was a fourth (docs/decisions.md).
 */

/** Ten to thirty are enough. */
const reads = 100;

/** To be called after such a class has come to be. Harmless at any time, and takes a tenth of a millisecond. */
export function quickStrings(): void {
  const object: { readonly charCodeAt: unknown } = Object('');
  for (let read = 0; read < reads; read += 1) charCodeAtOf(object);
}

function charCodeAtOf(object: { readonly charCodeAt: unknown }): unknown {
  return object.charCodeAt;
}
