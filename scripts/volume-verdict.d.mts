export function verdictOf(
  facts: Readonly<Record<string, unknown>>,
  bound: { readonly of: string; readonly below: number } | undefined,
): { holds?: boolean; below?: number };
