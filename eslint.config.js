import { defineConfig, globalIgnores } from "eslint/config";
import tseslint from "typescript-eslint";

export default defineConfig(
  globalIgnores(["build/", "dist/", "dist-test/", "coverage/"]),
  {
    files: ["**/*.{js,mjs,cjs}"],
    extends: [tseslint.configs.strict],
    languageOptions: {
      globals: Object.fromEntries(
        ["AbortController", "Buffer", "URL", "console", "performance", "process"]
          .concat(["Timeout", "Interval", "Immediate"].flatMap((t) => [`set${t}`, `clear${t}`]))
          .map((name) => [name, "readonly"]),
      ),
    },
    rules: { "no-undef": "error" },
  },
  // The compiler knows what a browser has: assets/report/tsconfig.json.
  {
    files: ["assets/**/*.js"],
    languageOptions: { sourceType: "script" },
    rules: {
      "no-undef": "off",
      "@typescript-eslint/no-unused-vars": ["error", { vars: "local" }],
    },
  },
  {
    files: ["**/*.cjs"],
    languageOptions: { globals: { require: "readonly", module: "writable", global: "readonly" } },
    rules: { "@typescript-eslint/no-require-imports": "off" },
  },
  {
    files: ["lib/**/*.ts", "test/**/*.ts", "examples/**/*.ts"],
    extends: [tseslint.configs.strictTypeChecked],
    languageOptions: {
      parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname },
    },
    rules: {
      eqeqeq: "error",
      // The poll loop indexes typed arrays whose bounds it owns; the alternative is a branch per I/O.
      "@typescript-eslint/no-non-null-assertion": "off",
      // Numbers are what most of the messages are about.
      "@typescript-eslint/restrict-template-expressions": ["error", { allowNumber: true }],
      // `() => void` callbacks that return what they call are how this code writes them.
      "@typescript-eslint/no-confusing-void-expression": ["error", { ignoreArrowShorthand: true }],
    },
  },
  {
    files: ["examples/**/*.ts"],
    rules: {
      // Node's test runner waits for these itself.
      "@typescript-eslint/no-floating-promises": [
        "error",
        {
          allowForKnownSafeCalls: [
            { from: "package", package: "node:test", name: ["describe", "it", "before"] },
          ],
        },
      ],
    },
  },
);
