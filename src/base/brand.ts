/** A type that only its own constructor can make: two bigints that mean different things do not mix. */
export type Brand<T, Name extends string> = T & { readonly __brand: Name };
