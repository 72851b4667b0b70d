"""The weather, from a small table: the tool's step in `restate_loop/weather_agent.py`."""

from pydantic import BaseModel, ConfigDict, Field

WEATHER = {
    "berlin": "Cloudy, 11 degrees Celsius",
    "london": "Rainy, 12 degrees Celsius",
    "new york": "Sunny, 18 degrees Celsius",
    "paris": "Windy, 14 degrees Celsius",
    "san francisco": "Foggy, 15 degrees Celsius",
    "tokyo": "Clear, 21 degrees Celsius",
}


class WeatherRequest(BaseModel):
    """A question about the weather, as JSON: `{"message"}`."""

    model_config = ConfigDict(extra="forbid")

    message: str = Field(min_length=1, max_length=2_000)


class City(BaseModel):
    """The arguments of the tool `get_weather`."""

    model_config = ConfigDict(extra="forbid")

    city: str = Field(min_length=1, max_length=100)


async def get_weather(city: str) -> str:
    """The weather in a city, as one sentence. A city outside the table has no report."""
    return f"{city}: {WEATHER.get(city.lower(), 'no report')}."
