/**
 * Makes `import … from 'umbel'` and `require('umbel')` in task modules mean this very program.
 *
 * A folder with one tasks.ts and no node_modules runs that way, and one with a copy of its own still shares classes, context
 * and publisher with the worker. Owns the resolution hook and the slot the synthetic module reads from.
 */
import { registerHooks } from 'node:module';

const apiKey = Symbol.for('umbel.api');
const slots = globalThis as { [apiKey]?: Readonly<Record<string, unknown>> };
const url = 'umbel:api';
let hooked = false;

/** From now on 'umbel' has these exports. Call it before any task module is loaded. */
export function installApi(api: Readonly<Record<string, unknown>>): void {
  slots[apiKey] = api;
  if (hooked) return;
  hooked = true;
  registerHooks({
    resolve(specifier, context, nextResolve) {
      if (specifier === 'umbel') return { url, format: 'module', shortCircuit: true };
      return nextResolve(specifier, context);
    },
    load(target, context, nextLoad) {
      if (target === url) return { format: 'module', source: moduleSource(), shortCircuit: true };
      return nextLoad(target, context);
    },
  });
}

/** ESM text serves both import and require. */
function moduleSource(): string {
  const names = Object.keys(slots[apiKey] ?? {}).filter((name) => /^[A-Za-z_$][\w$]*$/.test(name) && name !== 'default');
  return `const api = globalThis[Symbol.for('umbel.api')];\n${names.map((name) => `export const ${name} = api.${name};`).join('\n')}\n`;
}
