"""What editors get: the schema must name every key and allow what the loader allows."""

from tracer_cli.config.json_schema import expectation, json_schema, locate
from tracer_cli.config.schema import Config


def test_every_key_is_described() -> None:
    schema = json_schema()

    def check(node: dict[str, object], where: str) -> None:
        for name, value in node.get("properties", {}).items():  # type: ignore[attr-defined]
            if name != "kind":
                assert value.get("description") or value.get("$ref"), f"{where}.{name}"

    check(schema, "")
    for name, node in schema["$defs"].items():
        assert node["description"], name
        check(node, name)


def test_bounds_are_json_schema_keywords() -> None:
    targets = json_schema()["$defs"]["Targets"]["properties"]
    assert (targets["agreement"]["exclusiveMinimum"], targets["agreement"]["exclusiveMaximum"]) == (0, 1)
    assert "ge" not in str(json_schema()["$defs"]["Split"]["properties"]["folds"].keys())


def test_a_text_field_takes_an_unquoted_number_as_the_loader_does() -> None:
    assert json_schema()["$defs"]["TraceSource"]["properties"]["path"]["type"] == ["string", "number", "boolean"]
    assert json_schema()["$defs"]["Targets"]["properties"]["scope"]["type"] == "string"


def test_unknown_keys_are_refused_everywhere() -> None:
    schema = json_schema()
    for node in [schema, *schema["$defs"].values()]:
        assert node["additionalProperties"] is False


def test_expectations_read_like_a_sentence() -> None:
    def expected(*path: str | int) -> str:
        return expectation(locate(path).node)

    assert expected("split", "folds") == "a whole number from 2 to 20"
    assert expected("split", "holdout") == "auto or a number above 0 and below 1"
    assert expected("zoo", "any", "kernel_ridge", "gamma") == "auto or a number above 0"
    assert expected("acceptor", "distance_quantile") == "a number above 0 and below 1 or null"
    text_features = ("embedder", "sentence-transformers", "text_features")
    assert expected(*text_features).startswith("a mapping with some of the keys dim, weight, word_ngrams")
    assert expected(*text_features).endswith(" or null")
    assert expected(*text_features, "word_ngrams") == "a whole number from 1 to 3"
    assert expected("targets", "scope") == "one of handled, overall"
    assert expected("zoo", "any", "mlp", "hidden") == "a list of 1 to 4 items (each: a whole number of at least 1)"
    assert expected("zoo", "any", "random_forest", "max_depth") == "a whole number of at least 1 or null"
    assert expected("seed") == "a whole number from 0 to 2147483647"


def test_the_schema_key_is_spelled_as_in_the_file() -> None:
    assert "schema" in json_schema()["properties"]
    assert set(json_schema()["properties"]) == {field.alias or name for name, field in Config.model_fields.items()}
