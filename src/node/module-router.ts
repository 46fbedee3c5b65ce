/**
 * A router of the operator, in a module of his own: `task.routes = "router.ts"`.
 *
 * The one code of the user that runs in the worker itself and not in a child. Loaded once, at the start; it must answer at once.
 */
import { existsSync } from 'node:fs';
import { messageOf, UmbelError } from '../errors.ts';
import { FunctionRouter, type RouteOptions, type Router, type RouterFunction, type TaskToRoute } from '../producer/router.ts';
import { importModule } from '../task/import-module.ts';

export class ModuleRouter implements Router {
  readonly #path: string;
  readonly #exportName: string;
  #router: FunctionRouter | null = null;

  constructor(path: string, exportName: string) {
    this.#path = path;
    this.#exportName = exportName;
  }

  async load(): Promise<void> {
    if (this.#router !== null) return;
    const where = `${this.#path}:${this.#exportName}`;
    if (!existsSync(this.#path))
      throw new UmbelError('ROUTER_FAILED', `task.routes must name router modules that are there, got ${this.#path}`);
    let exported: unknown;
    try {
      const module = await importModule(this.#path);
      // A CommonJS module imported as ESM has its exports as the default one.
      const inside: unknown = module.default;
      exported =
        module[this.#exportName] ?? (typeof inside === 'object' && inside !== null ? Reflect.get(inside, this.#exportName) : undefined);
    } catch (error) {
      throw new UmbelError('ROUTER_FAILED', `the router module ${this.#path} of task.routes did not load: ${messageOf(error)}`, {
        cause: error,
      });
    }
    if (typeof exported !== 'function')
      throw new UmbelError('ROUTER_FAILED', `the router ${where} of task.routes must be an exported function, got ${typeof exported}`);
    this.#router = new FunctionRouter(exported as RouterFunction, where);
  }

  route(task: TaskToRoute): RouteOptions | null {
    if (this.#router === null) throw new UmbelError('INTERNAL', `the router module ${this.#path} must be loaded before it is asked`);
    return this.#router.route(task);
  }
}
