import { type Prefix, widthOf } from './prefix.js';

interface Node<Value> {
  zero: Node<Value> | null;
  one: Node<Value> | null;
  entry: { prefix: Prefix; value: Value } | null;
  /** Entries at and below this node. */
  count: number;
}

const emptyNode = <Value>(): Node<Value> => ({ zero: null, one: null, entry: null, count: 0 });

function bitAt(p: Prefix, index: number): number {
  const word = index < 32 ? p.w0 : index < 64 ? p.w1 : index < 96 ? p.w2 : p.w3;
  return (word >>> (31 - (index & 31))) & 1;
}

/**
 * Prefixes with a value each, searched by containment: a binary trie, one level
 * a bit. Lookups cost the length of the prefix, never the size of the set.
 */
export class PrefixSet<Value> {
  readonly #roots = { 4: emptyNode<Value>(), 6: emptyNode<Value>() };

  get size(): number {
    return this.#roots[4].count + this.#roots[6].count;
  }

  /** Adds or replaces. Returns whether it is new. */
  set(prefix: Prefix, value: Value): boolean {
    const path = [this.#roots[prefix.family]];
    for (let i = 0; i < prefix.length; i++) {
      const node = path[i] as Node<Value>;
      const side = bitAt(prefix, i) ? 'one' : 'zero';
      node[side] ??= emptyNode();
      path.push(node[side]);
    }
    const leaf = path[prefix.length] as Node<Value>;
    const isNew = leaf.entry === null;
    leaf.entry = { prefix, value };
    if (isNew) for (const node of path) node.count += 1;
    return isNew;
  }

  delete(prefix: Prefix): boolean {
    const path = [this.#roots[prefix.family]];
    for (let i = 0; i < prefix.length; i++) {
      const next = (path[i] as Node<Value>)[bitAt(prefix, i) ? 'one' : 'zero'];
      if (next === null) return false;
      path.push(next);
    }
    const leaf = path[prefix.length] as Node<Value>;
    if (leaf.entry === null) return false;
    leaf.entry = null;
    // From the leaf up: a node left empty must go, or `inside` would follow it and miss what lies beside.
    for (const node of path.reverse()) {
      node.count -= 1;
      if (node.zero?.count === 0) node.zero = null;
      if (node.one?.count === 0) node.one = null;
    }
    return true;
  }

  /** The value stored for exactly this prefix. */
  get(prefix: Prefix): Value | undefined {
    let node: Node<Value> | null = this.#roots[prefix.family];
    for (let i = 0; node !== null && i < prefix.length; i++) node = bitAt(prefix, i) ? node.one : node.zero;
    return node?.entry?.value;
  }

  /** The longest entry that contains `prefix`, itself included. */
  covering(prefix: Prefix): { prefix: Prefix; value: Value } | null {
    let best: { prefix: Prefix; value: Value } | null = null;
    let node: Node<Value> | null = this.#roots[prefix.family];
    for (let i = 0; node !== null && i <= prefix.length; i++) {
      best = node.entry ?? best;
      if (i === prefix.length) break;
      node = bitAt(prefix, i) ? node.one : node.zero;
    }
    return best;
  }

  /** Some entry that lies inside `prefix`, itself included. */
  inside(prefix: Prefix): { prefix: Prefix; value: Value } | null {
    let node: Node<Value> | null = this.#roots[prefix.family];
    for (let i = 0; node !== null && i < prefix.length; i++) node = bitAt(prefix, i) ? node.one : node.zero;
    for (let depth = 0; node !== null && depth <= widthOf(prefix.family); depth++) {
      if (node.entry !== null) return node.entry;
      node = node.zero ?? node.one;
    }
    return null;
  }

  *[Symbol.iterator](): Generator<{ prefix: Prefix; value: Value }> {
    const stack: Node<Value>[] = [this.#roots[6], this.#roots[4]];
    for (let node = stack.pop(); node; node = stack.pop()) {
      if (node.entry) yield node.entry;
      if (node.one) stack.push(node.one);
      if (node.zero) stack.push(node.zero);
    }
  }
}
