export const compatibilityFile: string;
export const absentNames: readonly string[];
export const wrapperStatements: readonly (readonly [string, string, number | null])[];
export function compatibilityText(writerUrl: string, readerUrl: string): Promise<string>;
